# Fails when a file includes a room that stands behind it in the Makefile's ROOMS: calls go down.
BEGIN {
	count = split(rooms, list, " ")
	for (i = 1; i <= count; i++)
		rank[list[i]] = i
}
FNR == 1 {
	room = FILENAME
	sub(/^src\//, "", room)
	sub(/\.[ch]$/, "", room)
	files++
	if (!(room in rank)) {
		print FILENAME ": not one of the ROOMS in the Makefile"
		bad = 1
	}
}
/^#include "/ {
	split($0, part, "\"")
	wanted = part[2]
	sub(/\.h$/, "", wanted)
	if (!(wanted in rank)) {
		print FILENAME ":" FNR ": includes " part[2] ", which is not one of the ROOMS"
		bad = 1
	} else if (rank[wanted] > rank[room]) {
		print FILENAME ":" FNR ": includes " part[2] ", which is above it"
		bad = 1
	}
}
END {
	if (!bad)
		print "floors: " files " files, no include goes up"
	exit bad
}
