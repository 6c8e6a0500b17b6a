package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/virt-pki/virt-pki/pkg/internal/durable"
)

// Backup gives the copy of a file that is to be replaced, with its mode; a key is for its owner only, whoever may read the one in
// use.
func Backup(name string, part Part, data []byte, info fs.FileInfo, owner *durable.Owner) durable.File {
	mode := info.Mode().Perm()
	if part == Key {
		mode &= 0o600
	}
	return durable.File{Name: name, Data: data, Mode: mode, Owner: owner}
}

// KeepBeside keeps what a file of a machine holds as FILE.old-TIME, and gives that name.
func KeepBeside(d *durable.Dir, name string, part Part, data []byte, info fs.FileInfo, now time.Time) (string, error) {
	for i := 0; ; i++ {
		to := name + ".old-" + now.UTC().Format("20060102T150405Z")
		if i > 0 {
			to += fmt.Sprintf(".%d", i)
		}
		err := d.Write(Backup(Below(to), part, data, info, OwnerOf(info)))
		if errors.Is(err, fs.ErrExist) && i < 100 {
			continue
		}
		return to, err
	}
}

// OwnerOf gives who owns a file, so that root can make another that is owned alike; nil for others, who cannot.
func OwnerOf(info fs.FileInfo) *durable.Owner {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return &durable.Owner{UID: int(st.Uid), GID: int(st.Gid)}
}
