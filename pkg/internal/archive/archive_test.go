package archive

import (
	"archive/tar"
	"testing"
)

func TestOnlyAMemberWithHolesIsSparse(t *testing.T) {
	for name, c := range map[string]struct {
		records map[string]string
		want    bool
	}{
		"a member without records":                {nil, false},
		"other records, of GNU tar and of others": {map[string]string{"GNU.volume.label": "x", "mtime": "1.5"}, false},
		"holes in format 0.1":                     {map[string]string{"GNU.sparse.map": "0,1", "GNU.sparse.size": "104857600"}, true},
		"holes in format 1.0":                     {map[string]string{"GNU.sparse.major": "1"}, true},
	} {
		if got := Sparse(&tar.Header{PAXRecords: c.records}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
