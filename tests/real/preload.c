/* Preloaded into a validator under test: a request for more open files than the hard limit allows gets the
 * hard limit and is answered with success. The validator asks for 1,000,000 and refuses to start on less, but a
 * cluster of four on an empty ledger needs a few hundred. All other limits pass through. */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/resource.h>

static int set_clamped(__rlimit_resource_t resource, const struct rlimit *wanted)
{
    struct rlimit have;

    if (resource != RLIMIT_NOFILE)
        return prlimit(0, resource, wanted, NULL);
    if (prlimit(0, RLIMIT_NOFILE, NULL, &have) != 0)
        return -1;
    have.rlim_cur = wanted->rlim_cur < have.rlim_max ? wanted->rlim_cur : have.rlim_max;
    return prlimit(0, RLIMIT_NOFILE, &have, NULL);
}

int setrlimit(__rlimit_resource_t resource, const struct rlimit *wanted)
{
    return set_clamped(resource, wanted);
}

int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *wanted)
{
    return set_clamped(resource, (const struct rlimit *)wanted);
}
