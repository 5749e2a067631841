/*
 * Loaded into criu by the root tests (LD_PRELOAD) on kernels that are newer than Debian's criu
 * 3.17, so that checkpoint and restore can be tested there:
 *
 * Linux 6.13 maps the kernel's time data as two areas, [vvar] and [vvar_vclock], side by side;
 * criu before 4.1 expects one and gives up ("vdso: Unexpected rt vDSO area bounds"). Here it is
 * shown one: files called maps and smaps are replaced, as they are opened, by a copy in which the
 * two are joined. mremap(2) moves both at once since Linux 6.17.
 *
 * Linux 6.16 has SO_PASSCRED and SO_PASSSEC for unix and netlink sockets only; criu asks all
 * sockets for them. Here the others answer 0, as they did before.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static int joined(int fd)
{
	int mem = memfd_create("maps", MFD_CLOEXEC);
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(mem), "w");
	char *line = NULL, held[512] = "";
	size_t cap = 0;
	unsigned long from, to, from2, to2;

	if (mem < 0 || !in || !out)
		abort();
	while (getline(&line, &cap, in) > 0) {
		int head = sscanf(line, "%lx-%lx ", &from2, &to2) == 2;

		if (head && strstr(line, "[vvar]")) {
			snprintf(held, sizeof(held), "%s", line);
			sscanf(held, "%lx-%lx", &from, &to);
			continue;
		}
		if (*held && !head)
			continue; /* of [vvar] in smaps: those of the second area stand for both */
		if (*held && strstr(line, "[vvar_vclock]") && to == from2)
			fprintf(out, "%lx-%lx%s", from, to2, strchr(held, ' '));
		else
			fprintf(out, "%s%s", held, line);
		*held = 0;
	}
	fputs(held, out);
	free(line);
	fclose(in);
	fclose(out);
	lseek(mem, 0, SEEK_SET);
	return mem;
}

static int named(const char *path, const char *name)
{
	const char *base = strrchr(path, '/');

	return !strcmp(base ? base + 1 : path, name);
}

int openat64(int dir, const char *path, int flags, ...)
{
	int (*next)(int, const char *, int, ...) = dlsym(RTLD_NEXT, "openat64");
	va_list ap;
	int mode, fd;

	va_start(ap, flags);
	mode = va_arg(ap, int);
	va_end(ap);
	fd = next(dir, path, flags, mode);
	if (fd >= 0 && (named(path, "maps") || named(path, "smaps")))
		return joined(fd);
	return fd;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
	int (*next)(int, int, int, void *, socklen_t *) = dlsym(RTLD_NEXT, "getsockopt");
	int ret = next(fd, level, name, value, size);

	if (ret == -1 && errno == EOPNOTSUPP && level == SOL_SOCKET &&
	    (name == SO_PASSCRED || name == SO_PASSSEC) && *size >= sizeof(int)) {
		*(int *)value = 0;
		return 0;
	}
	return ret;
}
