package layout

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/virt-pki/virt-pki/pkg/internal/durable"
)

// ReplaceFile puts new content into an existing file in one step, so that a reader sees the old or the new one whole;
// owner, mode and SELinux label stay. A symbolic link stays and the file it leads to is replaced. With backup the old
// content is kept beside it first, as the name that is returned.
func ReplaceFile(name string, data []byte, backup bool) (kept string, err error) {
	path, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", err
	}
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if backup {
		old, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		kept = path + ".bak"
		if err := durable.WriteFile(kept, old, st.Mode().Perm(), true); err != nil {
			return "", fmt.Errorf("keeping the old file: %w", err)
		}
	}
	return kept, durable.WriteFile(path, data, st.Mode().Perm(), true)
}
