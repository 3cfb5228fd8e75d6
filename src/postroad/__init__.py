"""Carries business records between ERP/CRM systems and the applications that need them."""
