package keel

import "github.com/hull-dev/hull/internal/ociruntime"

func restoreCommand() command {
	return command{
		name: "restore", brief: "restore a container from a previous checkpoint", args: containerID, min: 1, max: 1, starts: true,
		about: "Makes a container of the bundle whose processes are those of the image files and go on. In the foreground, the exit\nstatus is that of init, 128+N when signal N ended it, and the container is deleted afterwards. Who can write the\nimage files is root of this host.",
		options: append([]option{
			{name: "console-socket", value: true, usage: "`path` to an AF_UNIX socket which will receive a file descriptor referencing the master end of the console's pseudoterminal"},
			{name: "bundle", short: "b", value: true, usage: "`path` to the root of the bundle directory, defaults to the current directory"},
			{name: "detach", short: "d", usage: "detach from the container's process"},
			{name: "pid-file", value: true, usage: "`file` to write the process id to"},
			{name: "no-subreaper", usage: "disable the use of the subreaper used to reap reparented processes"},
			{name: "no-pivot", usage: "accepted and without effect: criu changes the root in its own way"},
			{name: "lsm-profile", value: true, usage: "LSM profile to be used during restore in the form of `TYPE:NAME`"},
			{name: "lsm-mount-context", value: true, usage: "LSM mount `context` to be used during restore"},
		}, criuFlags()...),
		run: restore,
	}
}

func restore(r *ociruntime.Runtime, o options, args []string) (int, error) {
	warnRootless(r, "restore")
	c, err := criuOptions(o)
	if err != nil {
		return 0, err
	}
	p, err := r.Restore(args[0], ociruntime.RestoreOptions{
		CriuOptions: c, Bundle: o.get("bundle"), ConsoleSocket: o.get("console-socket"), PidFile: o.get("pid-file"), Detach: o.is("detach"),
		LSMProfile: o.get("lsm-profile"), LSMMountContext: o.get("lsm-mount-context"),
	})
	if err != nil {
		return 0, err
	}
	return p.Wait()
}
