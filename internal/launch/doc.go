// Package launch gives birth to container processes by executing a plan.
//
// A [Plan] is a flat list of steps: raw system calls whose arguments are already laid
// out in memory, and a handful of pseudo steps (jump, assert, store). The parent, in
// ordinary Go, makes every decision, look-up, check and allocation while it writes the
// plan. The child, a single-threaded copy of the parent made by clone3(2), runs one small
// loop over the list and ends in execve(2). Nothing is re-executed inside the container
// and there is no C.
//
//	p := launch.New()
//	tree := p.Slot()
//	p.Doing("mount", "/proc")
//	p.Call("fsopen", unix.SYS_FSOPEN, p.Str("proc"), launch.Int(unix.FSOPEN_CLOEXEC)).Out(tree)
//	…
//	child, err := p.Start(launch.Clone{Flags: unix.CLONE_NEWNS | unix.CLONE_NEWPID})
//
// A plan can be printed ([Plan.AppendText]); the golden tests of package ociruntime
// compare that text.
//
// # Terms
//
//   - step: one system call or pseudo step.
//   - slot: a cell that holds the result of a step for later steps ($name in print).
//   - label: a place in the plan that a step can continue at.
//   - report: the record (index, errno) that a child writes when a step fails. The parent
//     turns it into an [*Error]: what was being done, to what, and why it failed.
//
// # Proof obligations
//
// The code between clone3 and execve runs on a copy of a Go heap in which no other thread
// exists. What keeps it correct:
//
//  1. No stack growth. runtime_BeforeFork sets the stack guard so that a split would abort.
//     Every function reached from the child (childMain, run, fail, and the raw system call
//     stubs) is go:nosplit, so the linker proves that the whole chain fits in the nosplit
//     limit (800 bytes); `go build` fails otherwise. There is no other stack bound to watch.
//  2. No allocation and no write barrier. The child writes only uintptr and uint32 cells
//     (slots, scratch memory) and locals; it never stores a pointer. All memory that steps
//     point to is owned by the plan (the arena) or by the caller and kept alive by
//     runtime.KeepAlive until the parent has returned from clone3. Go's heap does not move.
//     Pointers cross as uintptr only within memory that Start keeps reachable.
//  3. No scheduler, no panics. Slot numbers index a 256-cell array with a uint8, steps are
//     reached by pointer arithmetic inside the sealed list, and Seal has checked every
//     jump to lie inside it: no bounds check can fire. A jump goes forward only, so the loop
//     ends after at most len(steps) turns.
//  4. Signal state. runtime_BeforeFork blocks all signals on the cloning thread, so that no
//     Go handler can run in the child before CLONE_CLEAR_SIGHAND's effect: it is born with
//     handled signals at SIG_DFL. Then it empties the mask, first of all. Ignored signals stay
//     ignored, as execve(2) demands. (runtime_AfterForkInChild would do the same by 130 calls.)
//  5. Memory that the child touches: the step list, the slots, the arena, its own stack.
//     By default the address space is a private copy, so the parent can go on at once and can
//     die at any time. With [Clone.Share] it is the parent's own (CLONE_VM): the child runs on a
//     stack of its own, reads the plan, writes the slots and the scratch memory, and nothing
//     else; the parent touches none of these any more, goes on beside it (no CLONE_VFORK), and
//     keeps them from the collector until the child has ended or executed (shared.go). It may
//     die: the memory lives as long as its last user. Thread-local storage is the parent thread's,
//     and is only read (the wrapper of an assembly call loads g). What traces the child can read
//     the parent, so Share is for children that nobody else can see.
//     The process is non-dumpable (the parent set PR_SET_DUMPABLE to 0 before clone), so
//     processes of a shared pid namespace cannot look into it (CVE-2016-9962), and its
//     /proc/PID/exe is a read-only clone of the program's file (package seal, CVE-2019-5736).
//     One exception: an ordinary user can map the ids of a user namespace only while its
//     process is dumpable, so package ociruntime clones that one dumpable and lets its plan
//     change that as soon as it goes on. Nobody is in the new user namespace by then, and who
//     is not in it or above it may not trace it.
//  6. A nested clone ([Plan.Fork]) copies a process that obligations 1 to 5 hold for already:
//     one thread, no handled or blocked signals. clone3 without CLONE_VM and with no stack of
//     its own is fork(2): the second process returns from the same raw system call stub on its
//     private copy of the stack, into the same loop. The only memory written is the pidfd, by
//     the kernel, in the arena of the first. Both hold the report pipe, so that end of file
//     still means that the last of them has executed the program or died. A plan that forks is
//     not started with Clone.Share: the parent would take the memory for free too early.
//  7. Descriptors. Before the first step the child closes every descriptor that the plan does
//     not name ([Plan.FD], [Plan.Inherit]). A child can live long (a created container waits
//     for start): what it held of the caller's pipes, sockets and locks would look to others
//     as if the caller were still there, and a sibling's report pipe would never end. All of
//     ours are close-on-exec; the last step before execve is close_range(…,
//     CLOSE_RANGE_CLOEXEC) over everything but the wanted ones. A child that others may look
//     at earlier closes the rest earlier ([Plan.CloseOthers]).
//
// The two runtime hooks are reached by go:linkname; the Go runtime keeps them for this
// use (runtime/proc.go names gVisor as their user).
package launch
