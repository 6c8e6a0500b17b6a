package preflight

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/workers"
	"github.com/virt-pki/virt-pki/pkg/probe"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A Host is one machine of a Matrix, as server and as client.
type Host struct {
	Name string
	// URI is by what the others call it. Empty: qemu://NAME/system.
	URI string
	// Daemon is its daemon; nil: it has none, and is a client only.
	Daemon *Daemon
	Client Client
	// ServerOnly says that nobody connects from there.
	ServerOnly bool
	// QEMU says with what guests run there; nil: migrations are not judged.
	QEMU *QEMU

	// plain is the client's machine without the eye on it that sees what could not be read.
	plain Machine
}

// Address gives the URI by which the others call the host.
func (h Host) Address() string {
	if h.URI != "" {
		return h.URI
	}
	name := h.Name
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	return "qemu://" + name + "/system"
}

// A Matrix is what all connections among hosts come to.
type Matrix struct {
	Hosts []Host
	// Servers are the daemons, by the index of their host; nil where a host has none. Unread are the files of each host that
	// could not be looked at here, and without which nothing is said about it.
	Servers []*Server
	Unread  [][]string
	// Keyless says of each host in which roles its key was not at hand.
	Keyless [][]certs.Role
	// Cells are all connections: of the first host that is a client to every server in the order of Hosts, then of the second.
	Cells []Cell
	// Own are the findings about each host's own files and configuration, each once.
	Own [][]finding.Finding
}

// A Cell is one connection of a Matrix.
type Cell struct {
	// Server and Client are indexes of Hosts.
	Server, Client int
	// Outcome is empty where nothing can be said, see Matrix.Unread.
	Outcome finding.Outcome
	// Cause is what decides, without a rule when connected.
	Cause finding.Finding
	// LibvirtMessage and DaemonMessage are what the client's user sees and the daemon logs.
	LibvirtMessage, DaemonMessage string
	// Proven says that a TLS handshake was made with both ends' own keys. What is not was judged by the same rules.
	Proven bool
	// Unchecked says what the outcome takes for granted.
	Unchecked []string
	// RFC5280 is what RFC 5280 says to the certificates of the two, and Beside where it does not agree with libvirt.
	RFC5280 Opinions
	Beside  []Beside
}

// Cross predicts what comes of the connections of all hosts to all hosts, themselves included, with several goroutines.
// progress, which may be nil, is called with the number of connections done and of all. The daemons' and clients' Memory is
// one for all, whatever they have.
func Cross(ctx context.Context, hosts []Host, jobs int, progress func(done, total int)) (*Matrix, error) {
	m := &Matrix{Hosts: slices.Clone(hosts), Servers: make([]*Server, len(hosts)), Unread: make([][]string, len(hosts)),
		Keyless: make([][]certs.Role, len(hosts)), Own: make([][]finding.Finding, len(hosts))}
	memory := &verify.Memory{}
	records := make([]*record, len(hosts))
	var servers, clients []int
	for i := range m.Hosts {
		if !m.Hosts[i].ServerOnly {
			clients = append(clients, i)
		}
		h := &m.Hosts[i]
		records[i] = &record{}
		h.plain = h.Client.Machine
		h.Client.Memory, h.Client.loaded = memory, &loadedFiles{}
		h.Client.Machine = records[i].watch(h.Client.Machine, certs.Client)
		if h.Daemon != nil {
			d := *h.Daemon
			d.Memory = memory
			d.Machine = records[i].watch(d.Machine, certs.Server)
			h.Daemon = &d
			servers = append(servers, i)
		}
	}
	// What a host does for itself comes first, so that everything else only reads.
	err := workers.Do(ctx, len(hosts), jobs, func(i int) error {
		h := &m.Hosts[i]
		if h.Daemon != nil {
			m.Servers[i] = h.Daemon.Start(ctx)
			m.Own[i] = append(m.Own[i], m.Servers[i].Findings...)
		}
		if !h.ServerOnly {
			h.Client.readSettings()
			m.Own[i] = append(m.Own[i], h.Client.loadOnce("", false, false).findings...)
		}
		m.Own[i] = distinct(m.Own[i])
		m.Unread[i], m.Keyless[i] = records[i].result()
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	total := len(clients) * len(servers)
	m.Cells = make([]Cell, total)
	err = workers.Do(ctx, total, jobs, func(i int) error {
		cell, err := m.cell(ctx, clients[i/len(servers)], servers[i%len(servers)])
		m.Cells[i] = cell
		return err
	}, func(done int) {
		if progress != nil {
			progress(done, total)
		}
	})
	return m, err
}

// cell predicts one connection.
func (m *Matrix) cell(ctx context.Context, client, server int) (Cell, error) {
	cell := Cell{Server: server, Client: client}
	for _, i := range []int{server, client} {
		if len(m.Unread[i]) > 0 {
			cell.Unchecked = append(cell.Unchecked, fmt.Sprintf("%s: %s could not be read", m.Hosts[i].Name, m.Unread[i][0]))
		}
		if server == client {
			break
		}
	}
	if cell.Unchecked != nil {
		return cell, nil
	}
	s := m.Servers[server]
	h := m.Hosts[client]
	h.Client.SameMachine = client == server
	c, err := s.Connect(ctx, m.Hosts[server].Address(), h.Client)
	if err != nil {
		return cell, err
	}
	cell.Outcome, cell.LibvirtMessage, cell.DaemonMessage, cell.Unchecked = c.Outcome, c.LibvirtMessage, c.DaemonMessage, c.Unchecked
	cell.RFC5280, cell.Beside = c.RFC5280, c.beside
	cell.Proven = c.TLS != "" && !c.Simulated
	switch {
	case c.Outcome == finding.Connected:
	case c.Outcome == finding.DaemonDown:
		cell.Cause = s.cause
	case len(c.Findings) > 0:
		cell.Cause = c.Findings[0]
	default:
		cell.Cause = finding.Finding{Rule: c.Cause, Remedy: c.Remedy}
	}
	return cell, nil
}

// A record notes what could not be read of a host, and of which keys the content is not at hand.
type record struct {
	mu      sync.Mutex
	unread  []string
	keyless []certs.Role
}

// watch gives a machine whose files are read under the record's eye.
func (r *record) watch(m Machine, role certs.Role) Machine {
	read, withheld := m.ReadFile, m.Withheld
	m.ReadFile = func(name string) ([]byte, error) {
		b, err := read(name)
		if errors.Is(err, fs.ErrPermission) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if !slices.Contains(r.unread, name) {
				r.unread = append(r.unread, name)
			}
		}
		return b, err
	}
	if withheld != nil {
		m.Withheld = func(name string) *verify.WithheldKey {
			k := withheld(name)
			if k != nil {
				r.mu.Lock()
				defer r.mu.Unlock()
				if !slices.Contains(r.keyless, role) {
					r.keyless = append(r.keyless, role)
				}
			}
			return k
		}
	}
	return m
}

func (r *record) result() ([]string, []certs.Role) {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.Sort(r.unread)
	return slices.Clone(r.unread), slices.Clone(r.keyless)
}

// loadedFiles are the files that a client has loaded, by what its URIs say about them.
type loadedFiles struct {
	mu sync.Mutex
	by map[loadKey]credentials
}

type loadKey struct {
	dir           string
	set, noSanity bool
}

// loadOnce loads a client's files, once for all connections of a matrix.
func (c *Client) loadOnce(dir string, set, noSanity bool) credentials {
	load := func() credentials {
		return c.load(wanted{search: c.defaults(certs.Client, dir, set), role: certs.Client, noSanity: noSanity, at: c.At, memory: c.Memory})
	}
	if c.loaded == nil {
		return load()
	}
	c.loaded.mu.Lock()
	defer c.loaded.mu.Unlock()
	key := loadKey{dir, set, noSanity}
	own, ok := c.loaded.by[key]
	if !ok {
		own = load()
		if c.loaded.by == nil {
			c.loaded.by = map[loadKey]credentials{}
		}
		c.loaded.by[key] = own
	}
	return own
}

// readSettings reads the client's libvirt.conf for all its connections; one that cannot be read is left to each of them.
func (c *Client) readSettings() {
	if c.URI.Settings != nil {
		return
	}
	o := c.URI
	o.Libvirt = uri.Version{Major: c.Libvirt.Major, Minor: c.Libvirt.Minor}
	o.Root, o.Home, o.ConfigHome, o.RuntimeDir = c.Root, c.Home, c.ConfigHome, c.RuntimeDir
	if s, err := probe.Settings(o, c.ReadFile); err == nil {
		c.URI.Settings = s
	}
}

// distinct leaves out what is said already.
func distinct(fs []finding.Finding) []finding.Finding {
	seen := map[string]bool{}
	var out []finding.Finding
	for _, f := range fs {
		if k := caseOf(f); !seen[k] {
			seen[k] = true
			out = append(out, f)
		}
	}
	return out
}

// A Trouble is one cause for which connections of a Matrix fail.
type Trouble struct {
	Rule string
	// Hosts are those where it lies, by index: the servers of a daemon that does not start, the clients of a certificate
	// that is refused.
	Hosts []int
	// Blocks are the connections that fail for it.
	Blocks []Block
	// Cases are examples, one for each of the first hosts.
	Cases []Case

	ofServers bool // the hosts are the first block's servers
}

// A Block are connections that fail for one reason in one way: each of the clients with each of the servers.
type Block struct {
	Outcome          finding.Outcome
	Clients, Servers []int
}

// A Case is a finding with the host it is about.
type Case struct {
	Host int
	finding.Finding
}

// Size is the number of connections.
func (t Trouble) Size() int {
	n := 0
	for _, b := range t.Blocks {
		n += len(b.Clients) * len(b.Servers)
	}
	return n
}

// maxCases bounds the examples of a Trouble.
const maxCases = 5

// Troubles gathers the cells that fail: those with one cause into as few blocks as they make, and what a host suffers as
// server and as client for the same reason into one trouble. The largest comes first.
func (m *Matrix) Troubles() []Trouble {
	type kind struct {
		outcome finding.Outcome
		rule    string
	}
	cells := map[kind][]Cell{}
	var kinds []kind
	for _, c := range m.Cells {
		if c.Outcome == "" || c.Outcome == finding.Connected {
			continue
		}
		k := kind{c.Outcome, c.Cause.Rule}
		if cells[k] == nil {
			kinds = append(kinds, k)
		}
		cells[k] = append(cells[k], c)
	}
	var out []Trouble
	for _, k := range kinds {
		for _, b := range blocks(k.outcome, cells[k]) {
			t := Trouble{Rule: k.rule, Hosts: b.Clients, Blocks: []Block{b}, ofServers: b.ofServers()}
			if t.ofServers {
				t.Hosts = b.Servers
			}
			out = append(out, t)
		}
	}
	out = joined(out)
	for i := range out {
		m.exemplify(&out[i])
	}
	slices.SortStableFunc(out, func(a, b Trouble) int { return b.Size() - a.Size() })
	return out
}

// blocks covers cells with rectangles, by clients with equal sets of servers or the other way round.
func blocks(o finding.Outcome, cells []Cell) []Block {
	byClient := rectangles(cells, func(c Cell) (int, int) { return c.Client, c.Server })
	byServer := rectangles(cells, func(c Cell) (int, int) { return c.Server, c.Client })
	var out []Block
	if len(byClient) < len(byServer) || len(byClient) == len(byServer) && o != finding.ClientRejectsServer && o != finding.DaemonDown {
		for _, r := range byClient {
			out = append(out, Block{o, r[0], r[1]})
		}
		return out
	}
	for _, r := range byServer {
		out = append(out, Block{o, r[1], r[0]})
	}
	return out
}

// rectangles groups the first coordinates that have the same set of second ones.
func rectangles(cells []Cell, coordinates func(Cell) (int, int)) [][2][]int {
	sets := map[int][]int{}
	var order []int
	for _, c := range cells {
		a, b := coordinates(c)
		if sets[a] == nil {
			order = append(order, a)
		}
		sets[a] = append(sets[a], b)
	}
	slices.Sort(order)
	at := map[string]int{}
	var out [][2][]int
	for _, a := range order {
		slices.Sort(sets[a])
		key := fmt.Sprint(sets[a])
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, [2][]int{nil, sets[a]})
		}
		out[i][0] = append(out[i][0], a)
	}
	return out
}

// ofServers reports whether a block's cause lies with its servers, and not with its clients.
func (b Block) ofServers() bool {
	switch b.Outcome {
	case finding.DaemonDown, finding.Network, finding.OpenFails:
		return true
	case finding.ClientLocal, finding.ClientConfError, finding.URIError:
		return false
	case finding.ClientRejectsServer:
		return len(b.Servers) <= len(b.Clients)
	}
	return len(b.Servers) < len(b.Clients)
}

// joined makes one trouble of those with one rule in which the servers of one are the clients of the other.
func joined(ts []Trouble) []Trouble {
	var out []Trouble
	for _, t := range ts {
		b := t.Blocks[0]
		i := slices.IndexFunc(out, func(o Trouble) bool {
			return o.Rule == t.Rule && len(o.Blocks) == 1 &&
				(slices.Equal(o.Blocks[0].Servers, b.Clients) && slices.Equal(o.Hosts, b.Clients) ||
					slices.Equal(o.Blocks[0].Clients, b.Servers) && slices.Equal(o.Hosts, b.Servers))
		})
		if i < 0 {
			out = append(out, t)
			continue
		}
		out[i].Blocks = append(out[i].Blocks, b)
	}
	return out
}

// exemplify adds the findings.
func (m *Matrix) exemplify(t *Trouble) {
	b := t.Blocks[0]
	for _, h := range t.Hosts {
		if len(t.Cases) >= maxCases {
			return
		}
		for _, c := range m.Cells {
			if c.Cause.Rule != t.Rule || c.Outcome != b.Outcome {
				continue
			}
			if t.ofServers && c.Server == h && slices.Contains(b.Clients, c.Client) || !t.ofServers && c.Client == h && slices.Contains(b.Servers, c.Server) {
				t.Cases = append(t.Cases, Case{h, c.Cause})
				break
			}
		}
	}
}
