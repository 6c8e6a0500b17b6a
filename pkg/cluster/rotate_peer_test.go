package cluster

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// callers are virsh clients that connect one time after the other, each with its directory.
type callers struct {
	// reload is held while the daemon reads its files: a client whose handshake is under way at that moment makes libvirtd use
	// credentials that it has just freed. Of libvirt 9.0.0, 11.3.0 and 12.8.0, with two clients that call without a pause, one
	// server-update-tls in ten ends in a segmentation fault. That is no matter of certificates, and would hide what is tested.
	reload sync.RWMutex
	mu     sync.Mutex
	calls  int
	failed []string
	end    chan struct{}
	done   sync.WaitGroup
}

// call starts the clients.
func call(t *testing.T, place peer.Place, uri func(dir string) string, dirs ...string) *callers {
	c := &callers{end: make(chan struct{})}
	for _, dir := range dirs {
		c.done.Add(1)
		go func() {
			defer c.done.Done()
			for {
				select {
				case <-c.end:
					return
				default:
				}
				c.reload.RLock()
				r := place.Virsh(t, uri(dir))
				c.reload.RUnlock()
				c.mu.Lock()
				c.calls++
				if r.Exit != 0 {
					c.failed = append(c.failed, filepath.Base(dir)+": "+r.String())
				}
				c.mu.Unlock()
			}
		}()
	}
	return c
}

// more waits until so many more calls have ended.
func (c *callers) more(t *testing.T, n int) {
	t.Helper()
	c.mu.Lock()
	until := c.calls + n
	c.mu.Unlock()
	if !eventually(func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.calls >= until
	}) {
		t.Fatal("the clients hang")
	}
}

func (c *callers) stop() (calls int, failed []string) {
	close(c.end)
	c.done.Wait()
	return c.calls, c.failed
}

func TestTheCAIsReplacedWithoutOneRefusedConnection(t *testing.T) {
	peer.NeedNamespaces(t)
	peer.Need(t, "libvirtd", "virsh", "virt-admin")
	for _, root := range peer.Roots(t) {
		subjects := []string{"", "CN=Second CA"}
		switch {
		case root.Name == "trixie": // between the two others, and does the same
			continue
		case root.Dir != "":
			subjects = subjects[:1]
		}
		for _, subject := range subjects {
			t.Run(root.Libvirt+" "+subject, func(t *testing.T) {
				base := peer.Dir(t)
				out, admin, bob := filepath.Join(base, "cluster"), filepath.Join(base, "admin"), filepath.Join(base, "bob")
				authority := filepath.Join(out, "authority")
				must(t, "init", "--no-passphrase", "--out", out, "--server", "localhost,127.0.0.1")
				for _, dir := range []string{admin, bob} {
					must(t, "issue", "client", filepath.Base(dir), "--no-passphrase", "--pkipath", dir, "--authority", authority)
				}
				machine := peer.NewMachine(t)
				crash.CopyTree(t, filepath.Join(out, "localhost/etc/pki"), machine.Path("/etc/pki"))
				place := peer.Place{Machine: machine, Root: root.Dir}
				daemon := peer.Start(t, peer.Options{Place: place, DefaultPaths: true, Conf: []string{"-unix_sock_dir"}}).MustBeReady(t)
				places := []string{"--authority", authority, "--root", machine.Path("/"), "--pkipath", admin, "--pkipath", bob, "--yes"}

				clients := call(t, place, func(dir string) string { return daemon.URI("pkipath=" + dir) }, admin, bob)
				for _, stage := range []string{"trust", "issue", "switch", "prune"} {
					args := append([]string{"ca", "rotate", stage}, places...)
					if stage == "trust" && subject != "" {
						args = append(args, "--subject", subject)
					}
					clients.more(t, 4)
					must(t, args...)
					clients.more(t, 4) // the files are new, the daemon is as before
					clients.reload.Lock()
					r := daemon.Admin(t, "server-update-tls", "libvirtd")
					clients.reload.Unlock()
					if r.Exit != 0 {
						t.Fatalf("%s: %v\n%s", stage, r, daemon.Log())
					}
				}
				clients.more(t, 6)
				calls, failed := clients.stop()
				if len(failed) > 0 {
					t.Errorf("of %d connections %d were refused:\n%s\n%s", calls, len(failed), strings.Join(failed, "\n"), daemon.Log())
				}
				t.Logf("%d connections", calls)
				// It is the new CA that everybody has now: a daemon that starts anew takes it, too.
				daemon.Stop()
				daemon = peer.Start(t, peer.Options{Place: place, DefaultPaths: true, Conf: []string{"-unix_sock_dir"}}).MustBeReady(t)
				letIn(t, "started anew", place.Virsh(t, daemon.URI("pkipath="+admin)), true)
			})
		}
	}
}

// eventually waits until something holds, for half a minute at most.
func eventually(holds func() bool) bool {
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return true
		}
	}
	return false
}
