"""What exists, how fresh it is, what stands in its way: computed from project, lake and tracking, stored nowhere."""
