package cli

import "context"

// containerVerbs are the verbs of containers, each under all its names.
func containerVerbs() []verb {
	var all []verb
	add := func(args, help string, run func(*App, context.Context, []string) error, names ...string) {
		for _, name := range names {
			all = append(all, verb{name, args, help, run})
		}
	}
	const some = "CONTAINER [CONTAINER...]"
	add("[OPTIONS] IMAGE [COMMAND] [ARG...]", "Create and run a new container from an image", (*App).containerRun, "run", "container run")
	add("[OPTIONS] IMAGE [COMMAND] [ARG...]", "Create a new container", (*App).containerCreate, "create", "container create")
	add("[OPTIONS] CONTAINER COMMAND [ARG...]", "Execute a command in a running container", (*App).containerExec, "exec", "container exec")
	add("[OPTIONS]", "List containers", (*App).containerList, "ps", "container ls", "container list", "container ps")
	add("[OPTIONS] "+some, "Start one or more stopped containers", (*App).containerStart, "start", "container start")
	add("[OPTIONS] "+some, "Stop one or more running containers", (*App).containerStop, "stop", "container stop")
	add("[OPTIONS] "+some, "Restart one or more containers", (*App).containerRestart, "restart", "container restart")
	add("[OPTIONS] "+some, "Kill one or more running containers", (*App).containerKill, "kill", "container kill")
	add("[OPTIONS] "+some, "Remove one or more containers", (*App).containerRemove, "rm", "container rm", "container remove")
	add(some, "Pause all processes within one or more containers", (*App).containerPause, "pause", "container pause")
	add(some, "Unpause all processes within one or more containers", (*App).containerUnpause, "unpause", "container unpause")
	add(some, "Block until one or more containers stop, then print their exit codes", (*App).containerWait, "wait", "container wait")
	add("[OPTIONS] CONTAINER", "Attach local standard input, output, and error streams to a running container", (*App).containerAttach, "attach", "container attach")
	add("[OPTIONS] CONTAINER", "Fetch the logs of a container", (*App).containerLogs, "logs", "container logs")
	add("[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\thull cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH", "Copy files/folders between a container and the local filesystem", (*App).containerCopy, "cp", "container cp")
	add("CONTAINER", "Inspect changes to files or directories on a container's filesystem", (*App).containerDiff, "diff", "container diff")
	add("[OPTIONS] CONTAINER", "Export a container's filesystem as a tar archive", (*App).containerExport, "export", "container export")
	add("[OPTIONS] CONTAINER [REPOSITORY[:TAG]]", "Create a new image from a container's changes", (*App).containerCommit, "commit", "container commit")
	add("[OPTIONS] "+some, "Update configuration of one or more containers", (*App).containerUpdate, "update", "container update")
	add("CONTAINER [ps OPTIONS]", "Display the running processes of a container", (*App).containerTop, "top", "container top")
	add("CONTAINER [PRIVATE_PORT[/PROTO]]", "List port mappings or a specific mapping for the container", (*App).containerPort, "port", "container port")
	add("[OPTIONS]", "List every port of the host that leads to a container, and who reaches it", (*App).portAudit, "port audit")
	add("[OPTIONS]", "Remove all stopped containers", func(a *App, ctx context.Context, args []string) error {
		return a.pruneVerb(ctx, "containers", args)
	}, "container prune")
	add("[OPTIONS] [CONTAINER...]", "Display a live stream of container(s) resource usage statistics", (*App).containerStats, "stats", "container stats")
	add("CONTAINER NEW_NAME", "Rename a container", (*App).containerRename, "rename", "container rename")
	add("[OPTIONS] "+some, "Display detailed information on one or more containers", func(a *App, ctx context.Context, args []string) error {
		return a.inspectKind(ctx, args, "container")
	}, "container inspect")
	return all
}
