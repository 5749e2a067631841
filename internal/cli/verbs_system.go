package cli

// systemVerbs are what is about no one kind of object.
func systemVerbs() []verb {
	return []verb{
		{"inspect", "[OPTIONS] NAME|ID [NAME|ID...]", "Return low-level information on Docker objects", (*App).inspect},
		{"system df", "[OPTIONS]", "Show disk usage", (*App).systemDF},
		{"system prune", "[OPTIONS]", "Remove unused data", (*App).systemPrune},
		{"system dial-stdio", "", "", (*App).systemDial},
		{"system fsck", "[--repair]", "compare the store with the disk", (*App).systemFsck},
		{"system info", "[-f FORMAT]", "show facts about hulld (as info)", (*App).info},
		{"events", "[OPTIONS]", "Get real time events from the server", (*App).events},
		{"system events", "[OPTIONS]", "Get real time events from the server", (*App).events},
		{"info", "[-f FORMAT]", "show facts about hulld", (*App).info},
		{"version", "[-f FORMAT]", "show versions", (*App).version},
	}
}
