package preflight

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/internal/workers"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A QEMU is the QEMU of a Host, as far as its own TLS goes.
type QEMU struct {
	Version verify.QEMUVersion
	// Hostname is what the host calls itself, which other hosts are told when they migrate to it, unless migration_host of its
	// qemu.conf says otherwise.
	Hostname string
}

// Migrations are what migrations with TLS among the hosts of a Matrix come to.
type Migrations struct {
	// Matrix has a Cell for each direction: Client is the source, whose QEMU connects, Server the destination, whose QEMU
	// listens. LibvirtMessage is what QEMU says on the source, and DaemonMessage on the destination. daemon-down says that the
	// destination's QEMU, and client-local that the source's, cannot make its TLS object. Servers is nil for hosts that take no
	// part.
	*Matrix
	// Names are what each host is called by those who migrate to it, and Verify says whether its QEMU asks for a certificate.
	Names  []string
	Verify []bool
	// Services are, for each host, what keeps its QEMU from making the objects of the uses of TLS that its qemu.conf turns on for
	// guests: vnc_tls, chardev_tls and nbd_tls.
	Services [][]finding.Finding
	// Without are the hosts with the qemu driver that have no file for it, and whose qemu.conf does not force it.
	Without []int
}

// qemuEnds are both roles of one host's QEMU in migrations, where libvirt creates the same objects for the memory and for
// the disks that it copies over NBD.
type qemuEnds struct {
	Machine
	conf           *conf.QEMUConf
	priority       string
	client, server credentials
	// refusals keep QEMU from making the object of each role.
	refusedClient, refusedServer *finding.Finding
	// unread is a file that could not be read here, without which nothing is said; unchecked is what is taken for granted.
	unread    string
	unchecked []string
	// taking says that the host has something for it, or is told to.
	taking bool
}

// Migrate predicts what comes of live migrations with TLS (virsh migrate --tls) in each direction between any two hosts with
// a daemon and a QEMU that have files for it, or are told to insist on it (migrate_tls_force).
func (m *Matrix) Migrate(ctx context.Context, jobs int) (*Migrations, error) {
	out := &Migrations{Matrix: &Matrix{Hosts: slices.Clone(m.Hosts), Servers: slices.Clone(m.Servers)}, Names: make([]string, len(m.Hosts)),
		Verify: make([]bool, len(m.Hosts)), Services: make([][]finding.Finding, len(m.Hosts))}
	ends := make([]*qemuEnds, len(m.Hosts))
	memory := &verify.Memory{}
	err := workers.Do(ctx, len(m.Hosts), jobs, func(i int) error {
		if h := m.Hosts[i]; h.QEMU != nil && m.Servers[i] != nil && !m.Servers[i].lacks("qemu") {
			ends[i] = m.qemuOf(i, memory)
			out.Services[i] = distinct(ends[i].services(h, memory))
		}
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	var taking []int
	for i, e := range ends {
		switch {
		case e == nil:
		case e.taking:
			taking = append(taking, i)
			migrate, _ := e.conf.Service("migrate")
			out.Names[i], out.Verify[i] = e.name(m.Hosts[i]), migrate.Verify
			out.Hosts[i].ServerOnly = false
			continue
		default:
			out.Without = append(out.Without, i)
		}
		out.Servers[i], out.Hosts[i].ServerOnly = nil, true
	}
	var pairs [][2]int
	for _, source := range taking {
		for _, destination := range taking {
			if source != destination {
				pairs = append(pairs, [2]int{source, destination})
			}
		}
	}
	out.Cells = make([]Cell, len(pairs))
	err = workers.Do(ctx, len(pairs), jobs, func(i int) error {
		source, destination := pairs[i][0], pairs[i][1]
		cell, err := migrate(ctx, ends[source], ends[destination], out.Names[destination])
		cell.Client, cell.Server = source, destination
		out.Cells[i] = cell
		return err
	}, nil)
	return out, err
}

// qemuIndices are the endings of QEMU's identities: from 10.2 on there may be several.
var qemuIndices = []string{"", "-0", "-1", "-2", "-3"}

// name is what the others are told: the host part of the migration URI that its libvirt makes up
// (qemuMigrationDstPrepareDirect).
func (e *qemuEnds) name(h Host) string {
	if s, ok, _ := e.conf.File.String("migration_host"); ok && s != "" {
		return strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	}
	// The bare name of a host is looked up before it is told, and nobody knows here what comes of that.
	if h.QEMU.Hostname != "" && strings.Contains(h.QEMU.Hostname, ".") || h.Name == "" {
		return h.QEMU.Hostname
	}
	return h.Name
}

// qemuOf reads what a host's QEMU gets to see.
func (m *Matrix) qemuOf(i int, memory *verify.Memory) *qemuEnds {
	h := m.Hosts[i]
	e := &qemuEnds{Machine: h.plain}
	const name = "/etc/libvirt/qemu.conf"
	release := conf.Release{Major: e.Libvirt.Major, Minor: e.Libvirt.Minor}
	text, err := e.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.unread = fmt.Sprintf("%s: %s could not be read", h.Name, name)
	}
	f, err := conf.ParseFor(text, name, release)
	if err == nil {
		e.conf, err = conf.ReadQEMU(f, release, e.exists)
	}
	if err != nil {
		// Without the qemu driver nothing migrates.
		line := name
		var r conf.Refusal
		if errors.As(err, &r) {
			if _, n := r.Position(); n > 0 {
				line = fmt.Sprintf("%s:%d", name, n)
			}
		}
		g := ruleByID("conf-value").Finding(line, "The qemu driver of libvirt does not start: "+strings.TrimSuffix(err.Error(), ".")+".")
		g.LibvirtMessage = err.Error()
		e.refusedClient, e.refusedServer = &g, &g
		empty, _ := conf.Parse(nil, name)
		if e.conf, err = conf.ReadQEMU(empty, release, nil); err != nil {
			return nil
		}
	}
	service, _ := e.conf.Service("migrate")
	dir := e.conf.Dir(service, e.exists)
	e.priority = "NORMAL"
	if strings.HasPrefix(e.BuildPriority, "@LIBVIRT") {
		e.priority = "@QEMU,SYSTEM"
	}
	if service.Priority != nil {
		e.priority = *service.Priority
	}
	e.taking = e.conf.MigrateForce
	for _, role := range []certs.Role{certs.Server, certs.Client} {
		q := e.directory(dir, role, h, memory)
		for _, p := range q.Identities {
			e.taking = e.taking || !p.Cert.Missing() || !p.Key.Missing()
		}
		e.taking = e.taking || !q.CA.Missing()
		for _, p := range append([]verify.Pair{{Cert: q.CA, Key: q.CRL}}, q.Identities...) {
			for _, f := range []verify.File{p.Cert, p.Key} {
				if errors.Is(f.Err, fs.ErrPermission) {
					e.unread = fmt.Sprintf("%s: %s could not be read", h.Name, f.Path)
				}
			}
		}
		e.take(role, q.Read(), q.CA.Path, service.SecretUUID, h.Name)
	}
	return e
}

// directory gives the files of one of QEMU's directories.
func (e *qemuEnds) directory(dir string, role certs.Role, h Host, memory *verify.Memory) verify.QEMUFiles {
	q := verify.QEMUFiles{Role: role, CA: e.file(dir + "/ca-cert.pem"), CRL: e.file(dir + "/ca-crl.pem"), At: h.Client.At, QEMU: h.QEMU.Version, Memory: memory}
	for _, index := range qemuIndices {
		q.Identities = append(q.Identities, verify.Pair{Cert: e.file(fmt.Sprintf("%s/%v-cert%s.pem", dir, role, index)),
			Key: e.key(fmt.Sprintf("%s/%v-key%s.pem", dir, role, index))})
	}
	return q
}

// services judges what qemu.conf turns on for guests. A guest's VNC server listens; for nbd_tls QEMU is a client; a character
// device may be either, and listens where there is something to listen with.
func (e *qemuEnds) services(h Host, memory *verify.Memory) []finding.Finding {
	var out []finding.Finding
	for _, s := range e.conf.Services {
		var roles []certs.Role
		switch {
		case !s.Enabled:
		case s.Name == "vnc":
			roles = []certs.Role{certs.Server}
		case s.Name == "nbd":
			roles = []certs.Role{certs.Client}
		case s.Name == "chardev":
			roles = []certs.Role{certs.Client, certs.Server}
		}
		for _, role := range roles {
			q := e.directory(e.conf.Dir(s, e.exists), role, h, memory)
			id := q.Identities[0]
			if s.Name == "chardev" && role == certs.Server && id.Cert.Missing() && id.Key.Missing() {
				continue
			}
			for _, f := range q.Check() {
				if f.Rule == "qemu-key-encrypted" && s.SecretUUID != "" || f.Rule == "qemu-file-unreadable" || f.Severity != finding.Error {
					continue // a secret may open it; who reads here is not QEMU
				}
				f.Evidence = map[string]string{"setting": s.Name + "_tls"}
				out = append(out, f)
			}
		}
	}
	return out
}

// take keeps what was loaded for a role.
func (e *qemuEnds) take(role certs.Role, got verify.QEMUCredentials, ca, secret, host string) {
	c := credentials{identities: got.Identities, cas: got.CAs, lists: got.CRLs, findings: got.Findings, caFile: ca}
	for _, l := range got.Identities {
		c.keyless = append(c.keyless, l.Key == nil)
	}
	refused := &e.refusedServer
	if c2 := &e.client; role == certs.Client {
		*c2, refused = c, &e.refusedClient
	} else {
		e.server = c
	}
	for _, f := range got.Findings {
		switch {
		case f.Severity != finding.Error || *refused != nil:
		case f.Rule == "qemu-key-encrypted" && secret != "":
			note := fmt.Sprintf("%s: whether the secret %s has the passphrase of %s", host, secret, f.Subject)
			e.unchecked = append(e.unchecked, note)
		default:
			*refused = &f
		}
	}
}

// migrate predicts one direction: libvirt first makes the destination's object, then the source's, and then the two connect.
func migrate(ctx context.Context, source, destination *qemuEnds, name string) (Cell, error) {
	var c Cell
	c.Unchecked = append(slices.Clone(source.unchecked), destination.unchecked...)
	for _, e := range []*qemuEnds{source, destination} {
		if e.unread != "" {
			c.Unchecked = []string{e.unread}
			return c, nil
		}
	}
	conclude := func(o finding.Outcome, f finding.Finding) (Cell, error) {
		c.Outcome, c.Cause = o, f
		return c, nil
	}
	if f := destination.refusedServer; f != nil {
		c.DaemonMessage = f.LibvirtMessage
		return conclude(finding.DaemonDown, *f)
	}
	if f := source.refusedClient; f != nil {
		c.LibvirtMessage = f.LibvirtMessage
		return conclude(finding.ClientLocal, *f)
	}
	migrating, _ := destination.conf.Service("migrate")
	client, err := expandFor(source)
	if err != nil {
		return conclude(finding.ClientLocal, badQEMUPriority(source, err))
	}
	server, err := expandFor(destination)
	if err != nil {
		return conclude(finding.DaemonDown, badQEMUPriority(destination, err))
	}
	chosen, agreed, err := choose(client, server, destination.server.identities)
	if err != nil {
		f := ruleByID("priorities-disagree").Finding("/etc/libvirt/qemu.conf", sentence("the two ends of the migration come to no TLS session: "+err.Error()))
		return conclude(finding.HandshakeFails, f)
	}
	at := destination.server.identities[chosen]
	h := proof{client: client, server: server, agreed: agreed}
	h.serverEnd = handshake.Config{QEMU: true, NoVerify: !migrating.Verify, Libvirt: destination.Libvirt, At: at.Own.At, Strength: handshake.StrengthOf(server),
		Credentials: handshake.Credentials{CAs: destination.server.cas, Lists: destination.server.lists, Chain: at.Chain, Key: at.Key, Keyless: at.Key == nil}}
	h.clientEnd = handshake.Config{QEMU: true, Host: name, Libvirt: source.Libvirt, At: at.Own.At, Strength: handshake.StrengthOf(client),
		Credentials: handshake.Credentials{CAs: source.client.cas}}
	source.identify(&h.clientEnd, destination, client, server, agreed.Version)
	if !h.pin() {
		h.clientEnd.Keyless, h.serverEnd.Keyless = len(h.clientEnd.Chain) > 0, true // judged, not made
		h.clientEnd.Key, h.serverEnd.Key = nil, nil
	}
	r, err := handshake.Pair(ctx, h.clientEnd, h.serverEnd)
	if err != nil {
		return c, fmt.Errorf("a handshake in memory for a migration to %s: %w", name, err)
	}
	c.Proven = !r.Client.Simulated
	switch r.Outcome {
	case finding.Connected:
		c.Outcome = finding.Connected
		return c, nil
	case finding.ClientRejectsServer:
		cause, _ := r.Client.Cause()
		c.LibvirtMessage = cause.LibvirtMessage
		cause.Subject = at.Own.CertPath
		return conclude(r.Outcome, cause)
	case finding.ServerRejectsClient:
		cause, _ := r.Server.Cause()
		c.DaemonMessage = cause.LibvirtMessage
		cause.Subject = strings.TrimSuffix(source.client.caFile, "ca-cert.pem") + "client-cert.pem"
		if len(h.clientEnd.Chain) > 0 {
			cause.Subject = source.client.pathOf(h.clientEnd.Chain[0])
		}
		for _, f := range r.Client.Findings {
			switch {
			case cause.Rule != "qemu-peer-without-certificate":
			case f.Rule == "no-client-identity":
				cause.Message = "The source has no client-cert.pem and client-key.pem, and the destination asks for a certificate."
			case f.Rule == "client-certificate-not-sent" || f.Rule == "client-key-not-supported":
				cause.Message = strings.ReplaceAll(f.Message, "daemon", "destination")
			}
		}
		return conclude(r.Outcome, cause)
	}
	cause, ok := r.Cause()
	if !ok {
		cause = ruleByID("tls-handshake-failed").Finding("connection", "The two ends come to no TLS session.")
	}
	cause.LibvirtMessage = "" // QEMU has words of its own
	return conclude(r.Outcome, cause)
}

// identify gives the source its certificate as attempt.identity does.
func (e *qemuEnds) identify(end *handshake.Config, destination *qemuEnds, client, server *priority.Expansion, version string) {
	var chains [][]*certs.Certificate
	for _, l := range e.client.identities {
		chains = append(chains, l.Chain)
	}
	names := make([]dn.Name, 0, len(destination.server.cas))
	for _, ca := range destination.server.cas {
		names = append(names, ca.Subject)
	}
	for _, i := range verify.Order(chains, names) {
		l := e.client.identities[i]
		if kind, ok := handshake.KeyKind(l.Chain[0]); ok {
			if _, sent, err := priority.ClientSignature(client, server, version, kind); !sent || err != nil {
				continue
			}
		}
		end.Chain, end.Key, end.Keyless = l.Chain, l.Key, l.Key == nil
		return
	}
}

func expandFor(e *qemuEnds) (*priority.Expansion, error) {
	x, err := priority.Expand(e.priority, e.GnuTLS)
	if err == nil && x.SetError != nil {
		err = x.SetError
	}
	return x, err
}

func badQEMUPriority(e *qemuEnds, err error) finding.Finding {
	subject := "/etc/libvirt/qemu.conf"
	for _, key := range []string{"migrate_tls_priority", "default_tls_priority"} {
		if s, ok := e.conf.File.Lookup(key); ok {
			subject = fmt.Sprintf("%s:%d", subject, s.Line)
			break
		}
	}
	f := ruleByID("priority-invalid").Finding(subject, sentence(fmt.Sprintf("GnuTLS refuses the tls_priority of QEMU: %v", err)))
	f.Severity, f.Effect = finding.Error, finding.RefusesPeer
	return f
}
