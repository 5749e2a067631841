package keel

import (
	"os"

	"github.com/hull-dev/hull/internal/ociruntime"
)

func createCommand() command {
	return command{
		name: "create", brief: "create a container", args: containerID, min: 1, max: 1, starts: true,
		about:   "Makes the container of the bundle. Its program does not run before `keel start`.",
		options: bundleOptions(), run: create,
	}
}

// bundleOptions are those that create and run share.
func bundleOptions() []option {
	return []option{
		{name: "bundle", short: "b", value: true, usage: "`path` to the root of the bundle directory, defaults to the current directory"},
		{name: "console-socket", value: true, usage: "`path` to an AF_UNIX socket which will receive a file descriptor referencing the master end of the console's pseudoterminal"},
		{name: "pidfd-socket", value: true, usage: "`path` to an AF_UNIX socket which will receive a file descriptor referencing the init process"},
		{name: "pid-file", value: true, usage: "`file` to write the process id to"},
		{name: "no-pivot", usage: "do not use pivot root to jail process inside rootfs. This should be used whenever the rootfs is on top of a ramdisk"},
		{name: "no-new-keyring", usage: "do not create a new session keyring for the container; it gets the calling process's"},
		{name: "preserve-fds", value: true, number: true, usage: "pass `N` additional file descriptors to the container (stdio + $LISTEN_FDS + N in total) (default: 0)"},
		{name: "print-plan", usage: "print the launch plan and start nothing"},
	}
}

func createOptions(o options) (ociruntime.CreateOptions, error) {
	c := ociruntime.CreateOptions{
		Bundle: o.get("bundle"), ConsoleSocket: o.get("console-socket"), PidFile: o.get("pid-file"), PidfdSocket: o.get("pidfd-socket"),
		NoPivot: o.is("no-pivot"), NoNewKeyring: o.is("no-new-keyring"), NoSubreaper: o.is("no-subreaper"), Detach: o.is("detach"), Keep: o.is("keep"),
	}
	if o.is("print-plan") {
		c.PrintPlan = os.Stdout
	}
	c.NotifySocket = os.Getenv("NOTIFY_SOCKET")
	c.ListenFDs = listenFDs()
	var err error
	c.PreserveFDs, err = preserved(o, 3+c.ListenFDs)
	return c, err
}

func create(r *ociruntime.Runtime, o options, args []string) (int, error) {
	c, err := createOptions(o)
	if err == nil {
		_, err = r.Create(args[0], c)
	}
	return 0, err
}
