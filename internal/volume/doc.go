// Package volume keeps volumes: directories that containers share and that outlive them.
//
//	s, err := volume.Open(volume.Config{Root: "/var/lib/hull/volumes", Log: log})
//	v, err := s.Create(volume.CreateOptions{Name: "data"})      // or the one that is there
//	err = s.Use("data", containerID)                            // for as long as the container exists
//	h, err := s.Mount(ctx, volume.MountRequest{Name: "data", User: containerID, …}) // at each start
//	… h.File is the directory, by descriptor …
//	s.Unmount("data", containerID)                              // at each stop
//	s.Release("data", containerID)                              // when the container is removed
//
// # Terms
//
//   - use: a container, running or not, refers to the volume; it cannot be removed then. Uses are in
//     memory: after a restart, whoever has the containers says so again.
//   - mount: a running container has it. With driver options (a network file system, a tmpfs,
//     another directory) the first mount attaches that file system, the last one's end detaches it.
//   - anonymous: made without a name for one container, and marked so by a label.
//
// # On disk
//
//	ROOT/             0700
//	  NAME/           0711, as mapped users go through it
//	    _data/        the files; with driver options, the mount point
//	    meta.json     what it is, and a checksum
//	    _copy/        files of the image on their way into _data
//	  .new-…, .trash-…   being made, being deleted
//
// A volume appears by a rename and goes by one, so Open finds whole ones, and sweeps what has a
// name with a dot. Nothing is synced on the way of a container's start; a volume that somebody made by
// name is durable when Create returns. When a power failure leaves a meta.json that is not whole, the files count: the
// volume stays, without its labels, and the log says so.
//
// Files have the ids that are seen in containers: a container in a user namespace gets the volume
// through an id-mapped mount, so volumes can go from one to the other.
//
// # Trust
//
// A container may make anything of the files in a volume. What is asked for below one (a subpath,
// the image's directory that is copied) is resolved once, inside its root, without
// magic links, and is a descriptor from then on (SECURITY.md R1, CVE-2022-23648, CVE-2024-45310 and the like).
//
// # Locks
//
// Store.mu, then a volume's own; a volume's is held while its file system is mounted, which may
// take long, so no method waits for it with Store.mu held. Reading takes Store.mu alone.
package volume
