package weights

import "golang.org/x/sys/unix"

// touchPages brings the pages of part, a piece of a mapping of [mapFile], into this process's memory in one go, which
// costs less than a fault for some of them at a time. Only a hint.
func touchPages(mapping, part []byte) {
	from, ok := offsetIn(mapping, part)
	if !ok {
		return
	}
	begin := from &^ (unix.Getpagesize() - 1)
	_ = unix.Madvise(mapping[begin:from+len(part)], unix.MADV_POPULATE_READ)
}
