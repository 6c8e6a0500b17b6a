package proof

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

func ends(n int, family string) []End {
	out := make([]End, n)
	for i := range out {
		out[i] = End{Name: family + strconv.Itoa(i), Family: family}
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
		if seen[p] || servers[p[0]].Family != clients[p[1]].Family {
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
			if servers[p[0]].Family != clients[p[1]].Family {
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

func TestWhoHasNobodyToConnectWithIsJudgedAlone(t *testing.T) {
	servers, clients := ends(3, "libvirt"), append(ends(1, "libvirt"), ends(2, "qemu")...)
	var names []string
	for _, e := range alone([][2]int{{0, 0}, {2, 0}}, servers, clients) {
		names = append(names, e.Name)
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
	p := New(nil, time.Now(), 1)
	server := End{Name: "kvm1", Hosts: []string{"kvm1"}}
	server.Credentials.Chain, server.Credentials.CAs = imported(ours.Server("kvm1").DER), imported(ours.DER)
	client := End{Name: "admin"}
	client.Credentials.Chain, client.Credentials.CAs = imported(ours.Client("admin").DER), imported(ours.DER)
	for _, e := range []End{server, client} {
		if f := p.JudgeAlone([]End{e}); len(f) > 0 {
			t.Errorf("%s: %v", e.Name, f)
		}
	}
	elsewhere := server
	elsewhere.Hosts = []string{"kvm2"}
	server.Credentials.CAs, client.Credentials.CAs = imported(other.DER), imported(other.DER)
	for _, tt := range []struct {
		End
		want string
	}{
		{server, `server "kvm1" under libvirt 9.0.0: client-rejects-server: `},
		{client, `client "admin" under libvirt 9.0.0: server-rejects-client: `},
		{elsewhere, `server "kvm1" as "kvm2" under libvirt 9.0.0: client-rejects-server: `},
	} {
		if f := p.JudgeAlone([]End{tt.End}); len(f) != 1 || !strings.HasPrefix(f[0].String(), tt.want) || f[0].Message == "" {
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
	e := &Error{Result{Failures: make([]Failure, 3)}}
	e.Result.Failures[0] = Failure{Client: "b", Outcome: finding.ClientLocal, Message: "because"}
	if got, want := e.Error(), `the certificates issued do not work: client "b": client-local: because (and 2 more)`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
