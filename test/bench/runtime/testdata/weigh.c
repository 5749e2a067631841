// weigh REPORT PROGRAM ARGS…: runs a program and writes the largest resident set, in KiB, of
// it and of what it waited for to the file REPORT. Exits as the program does.
//
// It is in C because the kernel counts for a new process what its parent weighed until the
// execve: below a Go program nothing weighs less than that Go program.
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
	if (argc < 3) return 2;
	pid_t pid = fork();
	if (pid < 0) return 2;
	if (pid == 0) {
		execv(argv[2], argv + 2);
		_exit(127);
	}
	int status;
	struct rusage u;
	if (wait4(pid, &status, 0, &u) < 0) return 2;
	FILE *f = fopen(argv[1], "w");
	if (!f || fprintf(f, "%ld\n", u.ru_maxrss) < 0 || fclose(f)) return 2;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
