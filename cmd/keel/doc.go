// Command keel is Hull's OCI runtime: a drop-in for runc that starts a container
// process by executing a launch plan (package launch) instead of re-executing itself.
package main
