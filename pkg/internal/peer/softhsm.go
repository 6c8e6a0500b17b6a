package peer

import (
	"os"
	"path/filepath"
	"testing"
)

// SoftHSM is a PKCS#11 token in files.
type SoftHSM struct {
	// Module is the PKCS#11 module, Env what it needs, Tokens the directory with the tokens, PIN the user's.
	Module, PIN string
	Env         []string
	Tokens      string
}

// NewSoftHSM makes tokens with these labels, in a directory of their own.
func NewSoftHSM(t testing.TB, labels ...string) *SoftHSM {
	t.Helper()
	Need(t, "softhsm2-util")
	s := &SoftHSM{PIN: "12345678"}
	for _, pattern := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 && s.Module == "" {
			s.Module = found[0]
		}
	}
	if s.Module == "" {
		lack(t, "libsofthsm2.so is not installed")
	}
	dir := t.TempDir()
	s.Tokens = filepath.Join(dir, "tokens")
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.Mkdir(s.Tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	text := "directories.tokendir = " + s.Tokens + "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Env = []string{"SOFTHSM2_CONF=" + conf, "PATH=" + os.Getenv("PATH")}
	for _, label := range labels {
		s.Util(t, "--init-token", "--free", "--label", label, "--so-pin", "87654321", "--pin", s.PIN)
	}
	return s
}

// Util runs softhsm2-util.
func (s *SoftHSM) Util(t testing.TB, args ...string) string {
	t.Helper()
	return Place{Env: s.Env}.Must(t, append([]string{"softhsm2-util"}, args...)...)
}
