#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/identity.h"

/* Of every Debian; nobody's rights. */
#define USER "nobody"

static void test_names(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} cases[] = {
	    {"penstock", true},
	    {"_apt", true},
	    {"systemd-network", true},
	    {"a.b", true},
	    {"A1", true},
	    {"12345678901234567890123456789012", true},
	    {"123456789012345678901234567890123", false},
	    {"", false},
	    {"-a", false},
	    {"a b", false},
	    {"a:b", false},
	    {"a/b", false},
	    {"a\n", false},
	    {"\xc3\xa4", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(identity_is_name(cases[i].name), cases[i].good);
}

static void test_finding(void **state)
{
	struct identity identity;

	(void)state;
	assert_int_equal(identity_find("root", &identity), 0);
	assert_string_equal(identity.name, "root");
	assert_int_equal(identity.uid, 0);
	assert_int_equal(identity.gid, 0);
	assert_int_equal(identity_find(USER, &identity), 0);
	assert_true(identity.uid > 0);
	assert_int_equal(identity_find("nobody-of-this-name", &identity), -1);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(identity.name, USER);
}

/* ---- as root, in a child ---- */

static int become(void)
{
	static const gid_t more[] = {0, 1, 2};
	struct identity identity;
	const char *step = "";
	gid_t groups[64];
	int count;

	if (setgroups(ARRAY_LEN(more), more) != 0 || identity_find(USER, &identity) != 0)
		return 1;
	if (identity_assume(&identity, &step) != 0) {
		fprintf(stderr, "cannot %s\n", step);
		return 2;
	}
	if (getuid() != identity.uid || geteuid() != identity.uid || getgid() != identity.gid ||
	    getegid() != identity.gid)
		return 3;
	if (setuid(0) == 0 || setresuid(-1U, 0, -1U) == 0 || setgroups(0, NULL) == 0 ||
	    setgid(0) == 0)
		return 4;
	count = getgroups(ARRAY_LEN(groups), groups);
	for (int i = 0; i < count; i++)
		if (groups[i] == 0)
			return 5;
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 ? 0 : 6;
}

/* Root, of whom something is left. */
static int become_half(void)
{
	struct identity root;
	const char *step = "";

	if (identity_find("root", &root) != 0 || identity_assume(&root, &step) == 0)
		return 1;
	return strcmp(step, "be sure that root is left behind") == 0 ? 0 : 2;
}

static void run_in_child(int (*what)(void))
{
	pid_t child;
	int status;

	if (geteuid() != 0)
		skip();
	child = fork();
	if (child == 0)
		_exit(what());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_for_good(void **state)
{
	(void)state;
	run_in_child(become);
}

static void test_root_is_not_left_behind_by_being_root(void **state)
{
	(void)state;
	run_in_child(become_half);
}

/* ---- files ---- */

static void test_files(void **state)
{
	char folder[] = "/tmp/penstock-test-XXXXXX", path[64], target[64];
	struct identity identity;
	struct stat info;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(identity_find(USER, &identity), 0);
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/log", folder);
	snprintf(target, sizeof(target), "%s/target", folder);

	/* A new one is given away. */
	assert_int_equal(identity_make_file(&identity, path), 0);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_uid, identity.uid);
	assert_int_equal(info.st_gid, identity.gid);
	assert_int_equal(info.st_mode & 0777, 0640 & ~umask(022));

	/* One that is there keeps its owner, */
	assert_int_equal(chown(path, 1, 1), 0);
	assert_int_equal(identity_make_file(&identity, path), 0);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_uid, 1);
	unlink(path);

	/* and a link makes nothing elsewhere, whether it leads somewhere or not. */
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(identity_make_file(&identity, path), 0);
	assert_int_equal(stat(target, &info), -1);
	close(open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(identity_make_file(&identity, path), 0);
	assert_int_equal(stat(target, &info), 0);
	assert_int_equal(info.st_uid, 0);

	unlink(path);
	unlink(target);
	rmdir(folder);
	assert_int_equal(identity_make_file(&identity, path), -1);
	assert_int_equal(errno, ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_finding),
	    cmocka_unit_test(test_for_good),
	    cmocka_unit_test(test_root_is_not_left_behind_by_being_root),
	    cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
