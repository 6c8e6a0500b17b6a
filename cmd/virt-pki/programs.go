package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// secretVariables are the environment variables that hold secrets of ours. Programs that are started have no use for them, and
// whoever may look at such a program sees its environment.
var secretVariables = []string{passphraseVariable, backupVariable, databaseVariable, "PGPASSWORD"}

// environmentOfOthers gives the environment for programs that are started: without our secrets.
func environmentOfOthers(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(secretVariables, name)
	})
}

// companion finds a program that belongs to virt-pki: beside it, then in PATH. It gives "" where it is in neither place.
func companion(name string) string {
	if self, err := os.Executable(); err == nil {
		if file := filepath.Join(filepath.Dir(self), name); executable(file) && ours(file, self) {
			return file
		}
	}
	if file, err := exec.LookPath(name); err == nil { // never one that PATH has by a relative name
		return file
	}
	return ""
}

func executable(file string) bool {
	st, err := os.Stat(file)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// ours reports whether a file beside virt-pki, and a link that it may be, belong to root, to who runs virt-pki, or to whose
// virt-pki is. Into a directory like /tmp, where virt-pki was copied for a moment, anybody can put a program of that name.
func ours(file, self string) bool {
	owners := []uint32{0, uint32(os.Geteuid())}
	if st, err := os.Stat(self); err == nil {
		if s, ok := st.Sys().(*syscall.Stat_t); ok {
			owners = append(owners, s.Uid)
		}
	}
	for _, look := range []func(string) (os.FileInfo, error){os.Lstat, os.Stat} {
		st, err := look(file)
		if err != nil {
			return false
		}
		if s, ok := st.Sys().(*syscall.Stat_t); !ok || !slices.Contains(owners, s.Uid) {
			return false
		}
	}
	return true
}
