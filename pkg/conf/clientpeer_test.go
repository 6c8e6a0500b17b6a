package conf

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// virsh reads the user's libvirt.conf only when it is not root; root's stands in /etc, which the test leaves alone.
func TestVirshJudgesTheClientsFileAlike(t *testing.T) {
	peer.Need(t, "virsh", "setpriv")
	dir := peer.Dir(t)
	file := filepath.Join(dir, "libvirt", "libvirt.conf")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ src, uri string }{
		{"!", "test:///default"},
		{"  ", "test:///default"},
		{"uri_aliases = \"x\"", "test:///default"},
		{"uri_aliases = [1]", "test:///default"},
		{"uri_aliases = [\"x\"]", "test:///default"},
		{"uri_aliases = [\"=test:///default\"]", "test:///default"},
		{"uri_aliases = [\"f o=x\"]", "test:///default"},
		{"uri_aliases = [\"f\u00f6=x\"]", "test:///default"},
		{"uri_aliases = [\"\"]", "test:///default"},
		{"uri_default = 1", ""},
		{"uri_default = 1\nuri_aliases = 1", ""},
		{"remote_mode = 1", "test+tcp://127.0.0.1:1/default"},
		{"remote_mode = \"x\"\nremote_proxy = \"y\"", "test+tcp://127.0.0.1:1/default"},
		{"remote_proxy = \"\"", "test+tcp://127.0.0.1:1/default"},
		{"tls_priority = 1", "test+tls://127.0.0.1:1/default"},
	} {
		if err := os.WriteFile(file, []byte(c.src), 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{"virsh"}
		if os.Geteuid() == 0 {
			args = []string{"setpriv", "--reuid=nobody", "--clear-groups", "virsh"}
		}
		if c.uri != "" {
			args = append(args, "-c", c.uri)
		}
		cmd := exec.Command(args[0], append(args[1:], "uri")...)
		cmd.Dir = "/"
		cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_RUNTIME_DIR=" + dir,
			"XDG_CACHE_HOME=" + dir, "LIBVIRT_AUTOSTART=0"}
		out, _ := cmd.CombinedOutput()
		want := strings.TrimSpace(string(out))
		// The first line says that it failed, the second why.
		_, want, _ = strings.Cut(want, "\nerror: ")
		got := ""
		f, err := Parse([]byte(c.src), file)
		switch {
		case err != nil:
			got = err.Error()
		default:
			if p := ReadClient(f, Client).Problems; len(p) > 0 {
				got = p[0].Message
			}
		}
		if got != want {
			t.Errorf("%s\nvirsh: %s\nhere:  %s\n%s", c.src, want, got, out)
		}
	}
}
