#include "net/family.h"

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "net/addr.h"

size_t family_apply(enum family family, struct addr *addrs, size_t count)
{
	bool only = family == FAMILY_IPV4 || family == FAMILY_IPV6;
	bool v4 = family == FAMILY_IPV4 || family == FAMILY_PREFER_IPV4;
	size_t first = 0;

	if (family == FAMILY_ANY)
		return count;
	for (size_t i = 0; i < count; i++) {
		struct addr a = addrs[i];

		if (a.family != (v4 ? AF_INET : AF_INET6))
			continue;
		memmove(&addrs[first + 1], &addrs[first], (i - first) * sizeof(a));
		addrs[first++] = a;
	}
	return only ? first : count;
}
