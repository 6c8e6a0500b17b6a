package cluster

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// Spots lists the layouts that are in a directory and in those directly below it, as Plan.Make lays the trees of members. Links
// are not followed out of a tree.
func Spots(dir string) ([]layout.Spot, error) {
	spots, err := layout.Spots(dir)
	if err != nil {
		return nil, err
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("looking for layouts: %w", err)
	}
	defer r.Close()
	entries, err := fs.ReadDir(r.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("looking for layouts in %q: %w", dir, err)
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != AuthorityName && !durable.IsLeftover(e.Name()) {
			more, err := layout.Spots(filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			spots = append(spots, more...)
		}
	}
	return spots, nil
}
