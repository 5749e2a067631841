// Package linux reaches files and mounts by descriptor (SECURITY.md R1: handles, not strings).
//
// A path that somebody else can change is given as a directory's descriptor and a name relative
// to it, and is resolved once, by openat2(2), which follows no symbolic link unless the function
// says so. A mount is a descriptor too: it is made (FS), cloned (CloneTree), changed (SetAttr)
// while it is attached nowhere, and is attached as the last step (MoveMount), if ever. A mount
// that nothing holds any more is gone, so a program that dies leaves none behind.
//
//	ovl, err := linux.OpenFS("overlay")
//	…
//	defer ovl.Close()
//	ovl.FD("lowerdir+", lower)
//	root, err := ovl.Mount(0) // a detached mount; close(2) unmounts it
//
// Every function tries again after a signal (EINTR). Errors name the operation and the object
// and wrap the errno, so errors.Is(err, unix.ENOENT) works. Kernels: 5.14 and newer; what needs
// a newer one says so.
package linux
