package cluster

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

func ends(n int, family string) []end {
	out := make([]end, n)
	for i := range out {
		out[i] = end{name: family + strconv.Itoa(i), family: family}
	}
	return out
}

func TestEveryPairIsProvenWhileTheyAreFew(t *testing.T) {
	servers := append(ends(3, "libvirt"), ends(2, "qemu")...)
	clients := append(ends(2, "qemu"), ends(4, "libvirt")...)
	pairs, total := pairsOf(servers, clients, 16)
	if total != 3*4+2*2 || len(pairs) != total {
		t.Errorf("%d pairs of %d", len(pairs), total)
	}
	seen := map[[2]int]bool{}
	for _, p := range pairs {
		if seen[p] || servers[p[0]].family != clients[p[1]].family {
			t.Errorf("pair %v", p)
		}
		seen[p] = true
	}
}

func TestEveryServerAndClientIsProvenWhenPairsAreMany(t *testing.T) {
	for _, tt := range []struct {
		name                                  string
		libvirtServers, libvirtClients        int
		qemuServers, qemuClients, total, most int
	}{
		{"as many clients as servers", 300, 300, 0, 0, 90_000, 600},
		{"more clients", 101, 1000, 0, 0, 101_000, 1100},
		{"more servers", 1000, 101, 0, 0, 101_000, 1100},
		{"two families that take turns", 200, 150, 200, 10, 32_000, 560},
		{"clients of a family without servers", 200, 150, 0, 7, 30_000, 350},
	} {
		servers := append(ends(tt.libvirtServers, "libvirt"), ends(tt.qemuServers, "qemu")...)
		clients := append(ends(tt.qemuClients, "qemu"), ends(tt.libvirtClients, "libvirt")...)
		pairs, total := pairsOf(servers, clients, 10_000)
		if total != tt.total || len(pairs) > tt.most {
			t.Errorf("%s: %d pairs of %d, want at most %d of %d", tt.name, len(pairs), total, tt.most, tt.total)
		}
		s, c := map[int]bool{}, map[int]bool{}
		for _, p := range pairs {
			if servers[p[0]].family != clients[p[1]].family {
				t.Errorf("%s: pair %v", tt.name, p)
			}
			s[p[0]], c[p[1]] = true, true
		}
		clientsWithServer := tt.libvirtClients + tt.qemuClients
		if tt.qemuServers == 0 {
			clientsWithServer = tt.libvirtClients
		}
		if every, _ := pairsOf(servers, clients, math.MaxInt); len(every) != total {
			t.Errorf("%s: %d pairs where all were wanted", tt.name, len(every))
		}
		if len(s) != len(servers) || len(c) != clientsWithServer {
			t.Errorf("%s: %d servers and %d clients take part, want %d and %d", tt.name, len(s), len(c), len(servers), clientsWithServer)
		}
	}
}

func TestAProofFindsEveryFault(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	s := treeSpec(t, dir)
	makeAll(t, s, caSpec(t), Options{})
	other := filepath.Join(t.TempDir(), "other")
	makeAll(t, treeSpec(t, other), caSpec(t), Options{})
	read := func(path string) []byte {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	prove := func(at time.Time) Proof {
		p, err := s.Plan(open(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		p.spec.Now = at
		proof, err := p.prove(context.Background(), os.DirFS(dir), nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	if proof := prove(s.Now); len(proof.Failures) > 0 || proof.Pairs != 4 || proof.Handshakes != 4 {
		t.Fatalf("nothing is wrong, but %+v", proof)
	}
	const libvirt = "kvm2.example.com/etc/pki/libvirt/"
	for _, tt := range []struct {
		name    string
		file    string
		content []byte // nil: removed
		at      time.Time
		want    []Failure
	}{
		{"a missing certificate", libvirt + "servercert.pem", nil, s.Now, []Failure{{Server: "kvm2.example.com", Version: "9.0.0",
			Outcome: finding.DaemonDown}}},
		{"another host's certificate", libvirt + "servercert.pem", read(dir + "/kvm1.example.com/etc/pki/libvirt/servercert.pem"), s.Now,
			[]Failure{{Server: "kvm2.example.com", Version: "9.0.0", Outcome: finding.DaemonDown}}},
		{"another cluster's CA", "admin/etc/pki/CA/cacert.pem", read(other + "/admin/etc/pki/CA/cacert.pem"), s.Now,
			[]Failure{{Client: "admin", Version: "9.0.0", Outcome: finding.ClientLocal}}},
		{"garbage for a key", "admin/etc/pki/libvirt/private/clientkey.pem", []byte("garbage"), s.Now,
			[]Failure{{Client: "admin", Version: "9.0.0", Outcome: finding.ClientLocal}}},
		{"a day too late", "", nil, s.Now.AddDate(1, 0, 1), []Failure{{Server: "kvm1.example.com", Version: "9.0.0", Outcome: finding.DaemonDown}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.file != "" {
				path := filepath.Join(dir, tt.file)
				was := read(path)
				defer os.WriteFile(path, was, 0o600)
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if tt.content != nil {
					if err := os.WriteFile(path, tt.content, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			proof := prove(tt.at)
			if len(proof.Failures) == 0 {
				t.Fatal("nothing was found")
			}
			got := proof.Failures[0]
			if got.Message == "" {
				t.Errorf("no message: %+v", got)
			}
			got.Message = ""
			if d := cmp.Diff(tt.want, []Failure{got}); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestWhoHasNobodyToConnectWithIsJudgedAlone(t *testing.T) {
	servers, clients := ends(3, "libvirt"), append(ends(1, "libvirt"), ends(2, "qemu")...)
	var names []string
	for _, e := range alone([][2]int{{0, 0}, {2, 0}}, servers, clients) {
		names = append(names, e.name)
	}
	if got := strings.Join(names, " "); got != "libvirt1 qemu0 qemu1" {
		t.Errorf("alone: %s", got)
	}

	ours, other := testpki.NewCA(t), testpki.NewCA(t)
	imported := func(der []byte) []*certs.Certificate {
		c, err := certs.Import(der)
		if err != nil {
			t.Fatal(err)
		}
		return []*certs.Certificate{c}
	}
	p := newProver(nil, time.Now(), 1)
	server := end{name: "kvm1", hosts: []string{"kvm1"}}
	server.creds.Chain, server.creds.CAs = imported(ours.Server("kvm1").DER), imported(ours.DER)
	client := end{name: "admin"}
	client.creds.Chain, client.creds.CAs = imported(ours.Client("admin").DER), imported(ours.DER)
	for _, e := range []end{server, client} {
		if f := p.judgeAlone([]end{e}); len(f) > 0 {
			t.Errorf("%s: %v", e.name, f)
		}
	}
	elsewhere := server
	elsewhere.hosts = []string{"kvm2"}
	server.creds.CAs, client.creds.CAs = imported(other.DER), imported(other.DER)
	for _, tt := range []struct {
		end
		want string
	}{
		{server, `server "kvm1" under libvirt 9.0.0: client-rejects-server: `},
		{client, `client "admin" under libvirt 9.0.0: server-rejects-client: `},
		{elsewhere, `server "kvm1" as "kvm2" under libvirt 9.0.0: client-rejects-server: `},
	} {
		if f := p.judgeAlone([]end{tt.end}); len(f) != 1 || !strings.HasPrefix(f[0].String(), tt.want) || f[0].Message == "" {
			t.Errorf("%v, want %s...", f, tt.want)
		}
	}
}

func TestFailuresReadAsSentences(t *testing.T) {
	for want, f := range map[string]Failure{
		`server "a", client "b" under libvirt 9.0.0: client-rejects-server: because`:   {"a", "b", "a", "9.0.0", finding.ClientRejectsServer, "because"},
		`server "a", client "b" as "c" under libvirt 9.0.0: client-rejects-server: so`: {"a", "b", "c", "9.0.0", finding.ClientRejectsServer, "so"},
		`client "b" under libvirt 9.0.0: client-local: because`:                        {"", "b", "", "9.0.0", finding.ClientLocal, "because"},
		`server "a" as "c": client-rejects-server: because`:                            {"a", "", "c", "", finding.ClientRejectsServer, "because"},
	} {
		if got := f.String(); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	e := &ProofError{Proof{Failures: make([]Failure, 3)}}
	e.Proof.Failures[0] = Failure{Client: "b", Outcome: finding.ClientLocal, Message: "because"}
	if got, want := e.Error(), `the certificates issued do not work: client "b": client-local: because (and 2 more)`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestAFailingProofPublishesNothing(t *testing.T) {
	above := t.TempDir()
	dir := filepath.Join(above, "cluster")
	p := plan(t, treeSpec(t, dir), caSpec(t))
	// The file that is read back is not the file that was written.
	spoil := func(o *Options) {
		o.Step = func(step string) {
			if step != "prove" {
				return
			}
			walk(t, above, func(path string, text []byte, _ os.FileInfo) {
				if filepath.Base(path) == "clientcert.pem" && !strings.HasPrefix(path, dir+"/admin") {
					if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	var o Options
	spoil(&o)
	_, err := p.Make(context.Background(), founded(caSpec(t)), o)
	var pe *ProofError
	if !errors.As(err, &pe) || len(pe.Proof.Failures) == 0 {
		t.Fatalf("%v, want a ProofError", err)
	}
	if left, err := os.ReadDir(above); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}

	// The same when adding: the inventory knows that they were given up.
	makeAll(t, treeSpec(t, dir), caSpec(t), Options{})
	before := tree(t, dir)
	a := open(t, dir)
	for _, flat := range []bool{false, true} {
		s := treeSpec(t, dir)
		s.Members = []Member{member(t, certs.Server, "kvm3"), member(t, certs.Client, "bob")}
		if flat {
			s.Dir, s.Kinds = filepath.Join(above, "flat"), []layout.Kind{layout.PkiPath}
		}
		p, err := s.Plan(a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = p.Add(context.Background(), o); !errors.As(err, &pe) {
			t.Fatalf("flat %v: %v, want a ProofError", flat, err)
		}
	}
	if d := cmp.Diff(before, tree(t, dir)); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
	if _, err := os.Lstat(filepath.Join(above, "flat")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the flat directory was left: %v", err)
	}
	if got, want := states(t, a), "4 published, 4 abandoned"; got != want {
		t.Errorf("inventory: %s, want %s", got, want)
	}
}

func TestProgressIsToldToItsEnd(t *testing.T) {
	var mu sync.Mutex
	most := map[string][2]int{}
	makeAll(t, treeSpec(t, filepath.Join(t.TempDir(), "cluster")), caSpec(t), Options{Progress: func(stage string, done, total int) {
		mu.Lock()
		defer mu.Unlock()
		if done >= most[stage][0] {
			most[stage] = [2]int{done, total}
		}
	}})
	want := map[string][2]int{"issuing": {4, 4}, "writing": {3, 3}, "proving": {4, 4}}
	if d := cmp.Diff(want, most); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
