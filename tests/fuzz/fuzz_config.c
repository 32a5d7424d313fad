/*
 * Any text is either refused with a message, or gives a configuration that prints to
 * one that is the same, and of which the rest is whole when its rules have gone.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 loses a string at which it finds a syntax error. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so\n";
}

static char *print(const struct config *config)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	config_print(config, out);
	fclose(out);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_error error = {""};
	struct config *config, *again;
	char *text = malloc(size + 1);
	char *first, *second;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	config = config_parse(text, "fuzz", &error);
	free(text);
	if (!config) {
		if (error.message[0] == '\0' || strchr(error.message, '\n'))
			abort();
		return 0;
	}
	first = print(config);
	again = config_parse(first, "printed", &error);
	if (!again)
		abort();
	second = print(again);
	if (strcmp(first, second) != 0)
		abort();
	free(first);
	free(second);
	config_unref(again);
	/* All but what is only for judging is there as long as it is kept, and can be read. */
	config_keep(config);
	config_unref(config);
	free(print(config));
	config_unkeep(config);
	return 0;
}
