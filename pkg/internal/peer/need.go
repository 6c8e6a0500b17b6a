package peer

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// Required reports whether VIRT_PKI_REQUIRE_PEERS demands that no test is skipped for want of a peer.
func Required() bool { return os.Getenv("VIRT_PKI_REQUIRE_PEERS") == "1" }

// Need skips the test when one of the programs is not installed; when peers are required, it fails it.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	var missing []string
	for _, p := range programs {
		if lookPath(p) == "" {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		lack(t, "not installed: "+strings.Join(missing, ", "))
	}
}

// NeedRoot skips or fails the test unless it runs as root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		lack(t, "needs root")
	}
}

// NeedNamespaces skips or fails the test unless it may make mount and network namespaces, which takes root and a
// container that allows it.
func NeedNamespaces(t testing.TB) {
	t.Helper()
	NeedRoot(t)
	Need(t, "unshare", "nsenter", "mount", "ip")
	if err := namespaces(); err != "" {
		lack(t, "no mount and network namespaces here: "+err)
	}
}

var namespaces = sync.OnceValue(func() string {
	out, err := exec.Command("unshare", "-m", "-n", "--propagation", "private", "ip", "link", "set", "lo", "up").CombinedOutput()
	if err != nil {
		return strings.TrimSpace(string(out) + " " + err.Error())
	}
	return ""
})

// lack ends the test: skipped, or failed when peers are required.
func lack(t testing.TB, why string) {
	t.Helper()
	if Required() {
		t.Fatalf("VIRT_PKI_REQUIRE_PEERS=1, but %s", why)
	}
	t.Skip(why)
}

// searchPath is where programs are looked for: daemons live in sbin, which an ordinary user's PATH leaves out.
var searchPath = os.Getenv("PATH") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookPath gives the file that a program's name stands for, "" when there is none.
func lookPath(program string) string {
	if strings.Contains(program, "/") {
		if _, err := os.Stat(program); err == nil {
			return program
		}
		return ""
	}
	for _, dir := range strings.Split(searchPath, ":") {
		if dir == "" {
			continue
		}
		if file, err := exec.LookPath(dir + "/" + program); err == nil {
			return file
		}
	}
	return ""
}
