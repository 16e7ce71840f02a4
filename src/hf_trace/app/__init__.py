"""The package as a web page, and as tools for agents: what strangers send is bounded, and no file of the machine is."""
