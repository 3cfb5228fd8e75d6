"""What exists, how fresh it is, and what stands in its way: computed from project, lake and tracking, stored nowhere."""
