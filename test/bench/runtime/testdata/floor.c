// The floor: what the kernel alone needs for `run /bin/true` with the plain spec, in one C
// program without a runtime's look-ups, checks and state. It makes the five namespaces, a
// cgroup in each mounted v1 hierarchy, the root file system with the plain spec's mounts,
// devices, masks and capabilities, executes /bin/true, waits, and removes the cgroups.
//
//   floor ROOTFS    (an absolute path; run as root)
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRY(call) do { if ((call) < 0) { fprintf(stderr, "floor: %s: %s\n", #call, strerror(errno)); _exit(1); } } while (0)

static const char *controllers[] = {"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd"};
#define N (sizeof controllers / sizeof controllers[0])

static void put(const char *path, const char *text) {
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0) { /* as a floor: errors cost nothing */ }
		close(fd);
	}
}

// A cpuset on v1 takes no process before it has processors and memory nodes.
static void inherit(const char *dir, const char *file) {
	char path[256], text[256];
	snprintf(path, sizeof path, "/sys/fs/cgroup/cpuset/%s", file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0) return;
	text[n] = 0;
	snprintf(path, sizeof path, "%s/%s", dir, file);
	put(path, text);
}

static void mask(const char *path) {
	struct stat st;
	if (stat(path, &st) < 0) return;
	if (S_ISDIR(st.st_mode)) TRY(mount("tmpfs", path, "tmpfs", MS_RDONLY, "size=0"));
	else TRY(mount("/dev/null", path, 0, MS_BIND, 0));
}

static void read_only(const char *path) {
	if (mount(path, path, 0, MS_BIND | MS_REC, 0) == 0)
		TRY(mount(path, path, 0, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, 0));
}

static void child(const char *rootfs) {
	TRY(mount(0, "/", 0, MS_REC | MS_SLAVE, 0));
	TRY(mount(rootfs, rootfs, 0, MS_BIND | MS_REC, 0));
	TRY(chdir(rootfs));
	unsigned long f = MS_NOSUID | MS_NOEXEC | MS_NODEV;
	TRY(mount("proc", "proc", "proc", 0, 0));
	TRY(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
	TRY(mkdir("dev/pts", 0755));
	TRY(mkdir("dev/shm", 0755));
	TRY(mkdir("dev/mqueue", 0755));
	TRY(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
	TRY(mount("shm", "dev/shm", "tmpfs", f, "mode=1777,size=65536k"));
	TRY(mount("mqueue", "dev/mqueue", "mqueue", f, 0));
	TRY(mount("sysfs", "sys", "sysfs", f | MS_RDONLY, 0));
	static const struct { const char *name; int major, minor; } devices[] = {
		{"dev/null", 1, 3}, {"dev/zero", 1, 5}, {"dev/full", 1, 7}, {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};
	umask(0);
	for (unsigned i = 0; i < sizeof devices / sizeof devices[0]; i++)
		TRY(mknod(devices[i].name, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)));
	TRY(symlink("pts/ptmx", "dev/ptmx"));
	TRY(symlink("/proc/self/fd", "dev/fd"));
	TRY(symlink("/proc/self/fd/0", "dev/stdin"));
	TRY(symlink("/proc/self/fd/1", "dev/stdout"));
	TRY(symlink("/proc/self/fd/2", "dev/stderr"));
	TRY(syscall(SYS_pivot_root, ".", "."));
	TRY(umount2(".", MNT_DETACH));
	TRY(chdir("/"));
	TRY(mount(0, "/", 0, MS_REMOUNT | MS_BIND | MS_RDONLY, 0));
	TRY(sethostname("hull", 4));
	static const char *masked[] = {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
		"/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"};
	for (unsigned i = 0; i < sizeof masked / sizeof masked[0]; i++) mask(masked[i]);
	static const char *ro[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
	for (unsigned i = 0; i < sizeof ro / sizeof ro[0]; i++) read_only(ro[i]);
	for (int cap = 0; cap <= 40; cap++)
		if (cap != CAP_AUDIT_WRITE && cap != CAP_KILL && cap != CAP_NET_BIND_SERVICE) prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	unsigned bits = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
	struct __user_cap_data_struct d[2] = {{bits, bits, 0}, {0, 0, 0}};
	TRY(syscall(SYS_capset, &h, d));
	TRY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	TRY(syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC));
	execl("/bin/true", "/bin/true", (char *)0);
	TRY(-1);
}

int main(int argc, char **argv) {
	if (argc != 2) return 2;
	char dirs[N][128], path[1280];
	int go[2];
	TRY(pipe2(go, O_CLOEXEC));
	struct clone_args a = {.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC, .exit_signal = SIGCHLD};
	long pid = syscall(SYS_clone3, &a, sizeof a);
	TRY(pid);
	if (pid == 0) {
		char c;
		close(go[1]);
		if (read(go[0], &c, 1) != 1) _exit(1);
		child(argv[1]);
	}
	char text[24];
	snprintf(text, sizeof text, "%ld", pid);
	for (unsigned i = 0; i < N; i++) {
		snprintf(dirs[i], sizeof dirs[i], "/sys/fs/cgroup/%s/hull-floor-%ld", controllers[i], pid);
		if (mkdir(dirs[i], 0755) < 0) { dirs[i][0] = 0; continue; }
		if (!strcmp(controllers[i], "cpuset")) { inherit(dirs[i], "cpuset.cpus"); inherit(dirs[i], "cpuset.mems"); }
		if (!strcmp(controllers[i], "devices")) {
			snprintf(path, sizeof path, "%s/devices.deny", dirs[i]);
			put(path, "a");
			snprintf(path, sizeof path, "%s/devices.allow", dirs[i]);
			static const char *allow[] = {"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:8 rwm", "c 1:7 rwm", "c 5:0 rwm", "c 1:5 rwm", "c 1:9 rwm", "c 136:* rwm", "c 5:2 rwm"};
			for (unsigned k = 0; k < sizeof allow / sizeof allow[0]; k++) put(path, allow[k]);
		}
		snprintf(path, sizeof path, "%s/cgroup.procs", dirs[i]);
		put(path, text);
	}
	TRY(write(go[1], "x", 1));
	int status;
	TRY(waitpid(pid, &status, 0));
	for (unsigned i = 0; i < N; i++)
		if (dirs[i][0]) rmdir(dirs[i]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
