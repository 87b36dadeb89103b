"""The controller: the one resident process of an installation above the hosts, and the flows it forks."""
