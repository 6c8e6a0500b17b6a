package archive

import (
	"archive/tar"
	"strings"
)

// Sparse reports whether a member has holes, as GNU tar's --sparse makes them. A hole takes no room in the archive and is as
// large as its header says when it is read, so that a bound on the archive is none on what is read.
func Sparse(h *tar.Header) bool {
	for record := range h.PAXRecords {
		if strings.HasPrefix(record, "GNU.sparse.") {
			return true
		}
	}
	return false
}
