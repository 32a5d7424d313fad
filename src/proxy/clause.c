#include "proxy/clause.h"

#include <libconfig.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/notation.h"

static int fault(
    struct clause_fault *ret, const config_setting_t *at, const char *part, const char *must)
{
	*ret = (struct clause_fault){config_setting_source_line(at), part, must};
	return -1;
}

static int read_string(const config_setting_t *at, struct clause_part *part)
{
	const char *string = config_setting_get_string(at);

	if (string == NULL || strlen(string) > CLAUSE_VALUE_MAX)
		return -1;
	part->values[part->count] = strdup(string);
	if (part->values[part->count] == NULL)
		return -1;
	part->count++;
	return 0;
}

static int read_part(
    const config_setting_t *at, struct clause_part *part, struct clause_fault *ret_fault)
{
	const char *name = config_setting_name(at);
	int type = config_setting_type(at), count = config_setting_length(at);

	part->line = config_setting_source_line(at);
	part->name = strdup(name);
	part->is_list = config_setting_is_array(at) || config_setting_is_list(at);
	part->is_number = type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
	if (part->is_number) {
		long long value = config_setting_get_int64(at);

		/* Whatever is beyond is out of every range. */
		part->number = value < 0 || value > INT_MAX ? -1 : (int)value;
		return part->name != NULL ? 0 : fault(ret_fault, at, name, NULL);
	}
	if (part->is_list && (count < 1 || count > CLAUSE_VALUES_MAX))
		return fault(ret_fault, at, name,
		    count < 1 ? "must not be an empty list: without it, it holds for all"
			      : "must hold at most 65536 values");
	part->values = calloc(part->is_list ? (size_t)count : 1, sizeof(*part->values));
	if (part->name == NULL || part->values == NULL)
		return fault(ret_fault, at, name, NULL);
	for (int i = 0; i < (part->is_list ? count : 1); i++) {
		const config_setting_t *value =
		    part->is_list ? config_setting_get_elem(at, (unsigned)i) : at;

		if (read_string(value, part) < 0)
			return fault(ret_fault, at, name,
			    "must be a string of at most 4095 bytes, a list of such or, "
			    "for bandwidth, a whole number");
	}
	return 0;
}

int clause_read(const config_setting_t *setting, struct clause *ret, struct clause_fault *ret_fault)
{
	int count = config_setting_length(setting);

	*ret = (struct clause){.line = config_setting_source_line(setting)};
	if (!config_setting_is_group(setting))
		return fault(ret_fault, setting, NULL,
		    "must be a group like "
		    "{ host = \".example.com\"; action = "
		    "\"deny\"; }");
	ret->parts = calloc((size_t)count + 1, sizeof(*ret->parts));
	if (ret->parts == NULL)
		return fault(ret_fault, setting, NULL, NULL);
	for (int i = 0; i < count; i++) {
		ret->count++;
		if (read_part(config_setting_get_elem(setting, (unsigned)i), &ret->parts[i],
			ret_fault) < 0)
			return -1;
	}
	return 0;
}

void clause_done(struct clause *clause)
{
	for (size_t i = 0; i < clause->count; i++) {
		struct clause_part *part = &clause->parts[i];

		for (size_t k = 0; k < part->count; k++)
			free(part->values[k]);
		free(part->values);
		free(part->name);
	}
	free(clause->parts);
	*clause = (struct clause){.line = 0};
}

const struct clause_part *clause_find(const struct clause *clause, const char *name)
{
	for (size_t i = 0; i < clause->count; i++) {
		if (strcmp(clause->parts[i].name, name) == 0)
			return &clause->parts[i];
	}
	return NULL;
}

static void print_part(const struct clause_part *part, FILE *out)
{
	fprintf(out, "%s = ", part->name);
	if (part->is_number)
		fprintf(out, "%d", part->number);
	fputs(part->is_list ? "[ " : "", out);
	for (size_t i = 0; i < part->count; i++) {
		fputs(i == 0 ? "" : ", ", out);
		notation_print(part->values[i], out);
	}
	fputs(part->is_list ? " ]; " : "; ", out);
}

void clause_print(const struct clause *clause, FILE *out)
{
	fputs("{ ", out);
	for (size_t i = 0; i < clause->count; i++)
		print_part(&clause->parts[i], out);
	fputs("}", out);
}
