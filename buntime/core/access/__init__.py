"""Who may reach what: public routes, the runtime's key, the operators' pages."""
