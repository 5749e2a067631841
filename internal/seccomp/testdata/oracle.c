/*
 * The test oracle: builds filters with libseccomp and writes the BPF programs out.
 *
 *   cc -O1 -o oracle oracle.c -lseccomp
 *
 * One command a line on stdin, one reply each on stdout:
 *
 *   resolve ARCH NAME              -> int32 number
 *   filter DEFAULT OPTIMIZE ARCH,ARCH,... COUNT, followed by COUNT lines
 *     ACTION NAME NARGS [INDEX OP A B]...
 *                                  -> int32 return code; if 0: uint32 count, then count instructions
 *
 * Numbers are hexadecimal, replies in host order. OP is libseccomp's enum scmp_compare.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void reply(const void *p, size_t n)
{
	if (fwrite(p, 1, n, stdout) != n)
		exit(1);
}

static void resolve(void)
{
	char arch[64], name[128];
	int32_t nr;

	if (scanf("%63s %127s", arch, name) != 2)
		exit(1);
	nr = seccomp_syscall_resolve_name_arch(seccomp_arch_resolve_name(arch), name);
	reply(&nr, sizeof(nr));
}

struct rule {
	uint32_t action, nargs;
	char name[128];
	struct scmp_arg_cmp args[6];
};

static void build(uint32_t def, uint32_t optimize, char *arches, const struct rule *rules, uint32_t count)
{
	char *arch, *save = NULL;
	int32_t rc = 0;
	uint32_t i;
	scmp_filter_ctx ctx;

	ctx = seccomp_init(def);
	if (!ctx)
		rc = -EINVAL;
	for (arch = strtok_r(arches, ",", &save); arch && rc == 0; arch = strtok_r(NULL, ",", &save)) {
		rc = seccomp_arch_add(ctx, seccomp_arch_resolve_name(arch));
		if (rc == -EEXIST)
			rc = 0;
	}
	if (optimize && rc == 0)
		seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (i = 0; i < count && rc == 0; i++) {
		int nr = seccomp_syscall_resolve_name(rules[i].name);
		if (nr != __NR_SCMP_ERROR)
			rc = seccomp_rule_add_array(ctx, rules[i].action, nr, rules[i].nargs, rules[i].args);
	}
	if (rc == 0) {
		int fd = memfd_create("bpf", 0);
		char *p;

		rc = seccomp_export_bpf(ctx, fd);
		reply(&rc, sizeof(rc));
		if (rc == 0) {
			off_t size = lseek(fd, 0, SEEK_END);
			uint32_t n = size / 8;

			reply(&n, sizeof(n));
			p = malloc(size + 1);
			if (pread(fd, p, size, 0) != size)
				exit(3);
			reply(p, size);
		}
	} else {
		reply(&rc, sizeof(rc));
	}
}

static void filter(void)
{
	uint32_t def, optimize, count, i, j;
	char arches[512];
	struct rule *rules;
	int status;
	pid_t pid;

	if (scanf("%" SCNx32 " %" SCNx32 " %511s %" SCNx32, &def, &optimize, arches, &count) != 4)
		exit(1);
	rules = calloc(count + 1, sizeof(*rules));
	for (i = 0; i < count; i++) {
		struct rule *r = &rules[i];

		if (scanf("%" SCNx32 " %127s %" SCNx32, &r->action, r->name, &r->nargs) != 3 || r->nargs > 6)
			exit(1);
		for (j = 0; j < r->nargs; j++) {
			uint32_t index, op;

			if (scanf("%" SCNx32 " %" SCNx32 " %" SCNx64 " %" SCNx64, &index, &op, &r->args[j].datum_a, &r->args[j].datum_b) != 4)
				exit(1);
			r->args[j].arg = index;
			r->args[j].op = op;
		}
	}
	/* In a child: libseccomp 2.5.4 has profiles on which it does not come to an end. */
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		alarm(3);
		build(def, optimize, arches, rules, count);
		fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		exit(4);
	if (status != 0) {
		int32_t rc = -ETIME;
		reply(&rc, sizeof(rc));
	}
	free(rules);
}

int main(void)
{
	char command[16];

	while (scanf("%15s", command) == 1) {
		if (!strcmp(command, "resolve"))
			resolve();
		else if (!strcmp(command, "filter"))
			filter();
		else
			exit(1);
		fflush(stdout);
	}
	return 0;
}
