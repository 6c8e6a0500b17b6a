package probe

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// attempt is one connection attempt.
type attempt struct {
	*Result
	o Options
}

// Dial does what libvirt would do to open text, and closes the connection again. The error is for what is not an outcome
// of a connection: an [*UnsupportedError], or the end of ctx. What is known so far is in the Result in any case.
func Dial(ctx context.Context, text string, o Options) (Result, error) {
	if o.Libvirt == (verify.Version{}) {
		o.Libvirt = verify.Oldest
	}
	if o.ReadFile == nil {
		o.ReadFile = readFile
	}
	if o.Cache == nil {
		o.Cache = new(Cache)
	}
	o.ReadFile = o.Cache.readFile(o.ReadFile)
	if o.Dialer == nil {
		o.Dialer = &net.Dialer{}
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	o.URI.Libvirt = uri.Version{Major: o.Libvirt.Major, Minor: o.Libvirt.Minor}
	a := attempt{&Result{URI: text}, o}
	err := a.run(ctx)
	if err == nil && ctx.Err() != nil && a.Outcome != finding.Connected {
		err = ctx.Err()
	}
	return *a.Result, err
}

func (a *attempt) run(ctx context.Context) error {
	if !a.parse() {
		return nil
	}
	var credentials verify.Credentials
	switch a.Target.Transport() {
	case uri.TLS:
		var ok bool
		if credentials, ok = a.credentials(); !ok {
			return nil
		}
	case uri.TCP, uri.Unix, uri.SSH, uri.LibSSH, uri.LibSSH2, uri.Ext:
	case uri.Client:
		return a.insideClient()
	default:
		return &UnsupportedError{URI: a.URI, Transport: a.Target.Transport()}
	}

	connect := a.tcp
	switch a.Target.Transport() {
	case uri.Unix:
		connect = a.unix
	case uri.SSH, uri.Ext:
		connect = a.command
	case uri.LibSSH, uri.LibSSH2:
		connect = a.libssh
	}
	conn, ok := connect(ctx)
	if !ok {
		return nil
	}
	defer conn.Close()
	if a.Target.Transport() == uri.TLS {
		secure, ok, err := a.tls(ctx, conn, credentials)
		if err != nil || !ok {
			return err
		}
		conn = secure
	}
	a.rpc(ctx, conn)
	return nil
}

// insideClient is the test driver of the client library, whose default machine is always there. Other drivers inside the
// client, and other machines of this one, say nothing about libvirt's TLS and are not tried.
func (a *attempt) insideClient() error {
	path := a.Target.Path()
	switch {
	case a.Target.Driver() == "test" && path == "/default":
		a.Outcome = finding.Connected
		return nil
	case a.Target.Driver() == "test" && (path == "" || path == "/"):
		a.fail(finding.OpenFails, "open-refused", "the test driver needs a path", "invalid argument: testOpen: supply a path or use test:///default")
		return nil
	}
	return &UnsupportedError{URI: a.URI, Transport: uri.Client}
}

// parse reads libvirt.conf and the URI.
func (a *attempt) parse() bool {
	if a.o.URI.Settings == nil {
		end := a.stage(StageSettings)
		r := a.o.Cache.settings.get(func() settingsRead {
			s, err := Settings(a.o.URI, a.o.ReadFile)
			return settingsRead{s, err}
		})
		end(r.err)
		if r.err != nil {
			a.fail(finding.ClientConfError, "client-conf-unreadable", "libvirt.conf stops every connection: "+r.err.Error(), r.err.Error())
			return false
		}
		a.o.URI.Settings = r.settings
	}
	end := a.stage(StageURI)
	u, err := uri.Parse(a.URI, a.o.URI)
	end(err)
	if err != nil {
		var e *uri.Error
		if errors.As(err, &e) {
			a.conclude(e.Outcome, e.Finding())
		}
		return false
	}
	a.Target = u
	a.Findings = append(a.Findings, u.Findings()...)
	return true
}

// credentials finds, reads and judges the client's own files (virNetTLSContextNewClientPath), before any traffic: from
// 11.10 on all its identities.
func (a *attempt) credentials() (verify.Credentials, bool) {
	end := a.stage(StageCredentials)
	candidates, _ := a.Target.Files()
	chosen := candidates.Choose(a.exists)
	pairs := candidates.Identities(a.exists, a.o.URI.Libvirt)
	read := func(path string) verify.File {
		b, err := a.o.ReadFile(path)
		return verify.File{Path: path, Data: b, Err: err}
	}
	key := credentialsKey{chosen.CA, chosen.CRL, fmt.Sprintf("%q", pairs), a.Target.NoSanity()}
	loaded := a.o.Cache.credentials.get(key, func() verify.Credentials {
		s := verify.Several{Files: verify.Files{Role: certs.Client, CA: read(chosen.CA), CRL: read(chosen.CRL),
			NoSanity: a.Target.NoSanity(), At: a.o.At, Libvirt: a.o.Libvirt, Memory: &a.o.Cache.memory}}
		for _, p := range pairs {
			s.Identities = append(s.Identities, verify.Pair{Cert: read(p.Cert), Key: read(p.Key)})
		}
		return s.Read()
	})
	for i, f := range loaded.Findings {
		if f.Severity == finding.Error {
			end(errors.New(f.Message))
			a.conclude(finding.ClientLocal, f)
			a.Findings = append(a.Findings, loaded.Findings[:i]...)
			a.Findings = append(a.Findings, loaded.Findings[i+1:]...)
			return loaded, false
		}
	}
	end(nil)
	a.Findings = append(a.Findings, loaded.Findings...)
	return loaded, true
}

// exists is libvirt's access(F_OK): a file that is there but cannot be read counts.
func (a *attempt) exists(path string) bool {
	_, err := a.o.ReadFile(path)
	return err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, syscall.ELOOP)
}

// tls does the handshake, the judgement of the server, and the confirmation byte.
func (a *attempt) tls(ctx context.Context, conn net.Conn, l verify.Credentials) (net.Conn, bool, error) {
	end := a.stage(StageTLS) // for the failure to begin; the handshake times its own steps
	cfg := handshake.Config{
		Credentials: own(l),
		Host:        a.Target.Host(),
		NoVerify:    a.Target.NoVerify(),
		Libvirt:     a.o.Libvirt,
		At:          a.o.At,
		Memory:      &a.o.Cache.memory,
	}
	for _, c := range l.CRLs {
		cfg.CRLs = append(cfg.CRLs, c.Raw)
	}
	s, ok := a.priority()
	if !ok {
		end(errors.New(a.LibvirtMessage))
		return nil, false, nil
	}
	secure, tr, err := a.shake(ctx, conn, cfg, s)
	if err != nil {
		end(err)
		return nil, false, fmt.Errorf("TLS handshake with %s: %w", a.Server.Address, err)
	}
	if tr == nil {
		return nil, false, nil // the second connection failed
	}
	a.Transcript = tr
	a.describe(tr)
	if tr.Sent && tr.Identity < len(l.Identities) {
		a.Identity = l.Identities[tr.Identity].Own.CertPath
	}
	a.stages(tr)
	cause, failed := tr.Cause()
	if tr.Outcome == finding.Connected {
		a.Findings = append(a.Findings, tr.Findings...)
		return secure, true, nil
	}
	for _, f := range tr.Findings {
		if !failed || f.Rule != cause.Rule || f.Subject != cause.Subject {
			a.Findings = append(a.Findings, f)
		}
	}
	cause.LibvirtMessage = tr.LibvirtMessage
	a.conclude(tr.Outcome, cause)
	return nil, false, nil
}

// own makes the client's credentials for a handshake.
func own(l verify.Credentials) handshake.Credentials {
	c := handshake.Credentials{CAs: l.CAs, PEM: handshake.PEM{CA: l.CAText}}
	for i, one := range l.Identities {
		text := handshake.PEM{Cert: one.PEM.Cert, Key: one.PEM.Key}
		if i == 0 {
			c.Chain, c.Key, c.PEM.Cert, c.PEM.Key = one.Chain, one.Key, text.Cert, text.Key
		} else {
			c.More = append(c.More, handshake.Identity{Chain: one.Chain, Key: one.Key, PEM: text})
		}
	}
	return c
}

// stages takes over the steps of a handshake.
func (a *attempt) stages(tr *handshake.Transcript) {
	for _, s := range tr.Stages {
		a.Stages = append(a.Stages, Stage{Name: s.Name, Duration: s.Duration, Err: s.Err})
	}
}

// describe takes over what the transcript says of the server.
func (a *attempt) describe(tr *handshake.Transcript) {
	a.Server.TLS, a.Server.Suite, a.Server.Group = tr.Version, tr.Suite, tr.Group
	a.Server.Signature, a.Server.Engine = tr.Signature, "go"
	if tr.GnuTLS != "" {
		a.Server.Engine = "gnutls " + tr.GnuTLS
	}
	if len(tr.PeerChain) == 0 {
		return
	}
	c := tr.PeerChain[0]
	a.Server.DN, _ = c.Subject.Text()
	a.Server.Issuer, _ = c.Issuer.Text()
	before, after := c.NotBefore, c.NotAfter
	a.Server.NotBefore, a.Server.NotAfter = &before, &after
}

// rpc authenticates, opens, asks who is there and says good-bye.
func (a *attempt) rpc(ctx context.Context, conn net.Conn) {
	first := a.o.Limits.RPC
	if t := a.Target.Transport(); t != uri.TLS && t != uri.TCP && t != uri.Unix {
		first = a.o.Limits.command()
	}
	c := NewClient(conn, first)
	if !a.authenticate(ctx, c) {
		return
	}
	c.limit = limit(a.o.Limits.RPC)
	if !a.open(ctx, c) {
		return
	}
	a.Outcome = finding.Connected
	end := a.stage(StageInfo)
	err := a.inform(ctx, c)
	end(err)
	if err != nil {
		return // the connection is of no use any more
	}
	end = a.stage(StageClose)
	end(c.Close(ctx))
}

func (a *attempt) open(ctx context.Context, c *Client) bool {
	end := a.stage(StageOpen)
	var remote *RemoteError
	// One after the other: a daemon that gets two calls in one TLS record may not notice the second. As libvirt does, keep-alive
	// is asked for first; within one run, each daemon once.
	if _, known := a.daemon(); !known {
		if _, err := c.SupportsFeature(ctx, featureKeepalive); err != nil && !errors.As(err, &remote) {
			end(err)
			a.broken(c, err, "CONNECT_SUPPORTS_FEATURE")
			return false
		}
	}
	name := a.Target.RemoteName()
	err := c.Open(ctx, name, a.Target.ReadOnly())
	end(err)
	switch {
	case err == nil:
		return true
	case errors.As(err, &remote):
		id := "open-refused"
		if remote.Code == codeNoConnect {
			id = "open-no-driver"
		}
		a.fail(finding.OpenFails, id, fmt.Sprintf("the daemon does not open %q: %s", name, remote.Message), remote.Message)
		// The daemon stays connected; without a good-bye it would log an error.
		_ = c.Close(ctx)
	default:
		a.broken(c, err, "CONNECT_OPEN")
	}
	return false
}

// codeNoConnect is VIR_ERR_NO_CONNECT.
const codeNoConnect = 5

// inform asks the open connection who is there; within one run, each daemon once. What the driver does not know is no
// failure.
func (a *attempt) inform(ctx context.Context, c *Client) (err error) {
	ask := func(into *string, question func(context.Context) (string, error)) bool {
		var remote *RemoteError
		if *into, err = question(ctx); errors.As(err, &remote) {
			err = nil
		}
		return err == nil
	}
	if !a.Target.HasURI() && !ask(&a.Server.URI, c.URI) {
		return err
	}
	if d, known := a.daemon(); known {
		a.Server.Hostname, a.Server.Libvirt = d.hostname, d.version
		return nil
	}
	if ask(&a.Server.Hostname, c.Hostname) && ask(&a.Server.Libvirt, c.LibVersion) {
		if key, ok := a.daemonKey(); ok {
			a.o.Cache.setDaemon(key, daemon{a.Server.Hostname, a.Server.Libvirt})
		}
	}
	return err
}

// daemonKey tells the daemon at the other end from others; ok is false behind a command, which may lead to another one each
// time.
func (a *attempt) daemonKey() (key daemonKey, ok bool) {
	switch a.Target.Transport() {
	case uri.TLS, uri.TCP, uri.Unix:
	default:
		return daemonKey{}, false
	}
	key.address = a.Server.Address
	if a.Transcript != nil && len(a.Transcript.PeerChain) > 0 {
		key.certificate = sha256.Sum256(a.Transcript.PeerChain[0].Raw)
	}
	return key, true
}

// daemon gives what the daemon said of itself earlier in this run.
func (a *attempt) daemon() (d daemon, known bool) {
	if key, ok := a.daemonKey(); ok {
		return a.o.Cache.daemon(key)
	}
	return daemon{}, false
}

// broken concludes with a connection that ended, hung or spoke nonsense while a call was answered.
func (a *attempt) broken(c *Client, err error, call string) {
	said, command := complaint(c.conn)
	if remote, ok := c.conn.(*sshConn); ok {
		said, err = remote.explain(err, a.Target.Transport())
		command = true
	} else if command {
		err = withComplaint(err, said)
	}
	var stream *StreamError
	var protocol *ProtocolError
	switch {
	case errors.As(err, &stream) && stream.Timeout():
		message := fmt.Sprintf("%s answered nothing to %s within %v; virsh waits for ever", a.Server.Address, call, c.limit)
		if said != "" {
			message += "; the command said: " + said
		}
		a.fail(finding.Hangs, "peer-silent", message, "")
	case errors.As(err, &stream) && command:
		message := fmt.Sprintf("%s ended before the daemon answered", a.Server.Address)
		if said != "" {
			message += ": " + said
		}
		a.fail(finding.TransportFails, commandRule(a.Target.Transport(), said), message, stream.LibvirtMessage)
	case errors.As(err, &stream):
		a.fail(finding.TransportFails, "connection-lost", fmt.Sprintf("the connection to %s ended while %s was answered: %s",
			a.Server.Address, call, stream.Error()), stream.LibvirtMessage)
	case errors.As(err, &protocol):
		a.fail(finding.TransportFails, "not-libvirt", fmt.Sprintf("what %s answered to %s is not libvirt's protocol: %s",
			a.Server.Address, call, protocol.Reason), protocol.Reason)
	default:
		a.fail(finding.TransportFails, "connection-lost", err.Error(), "")
	}
}

// fail concludes with a case of one of this package's rules.
func (a *attempt) fail(outcome finding.Outcome, id, message, libvirtMessage string) {
	f := ruleByID(id).Finding(a.URI, message)
	f.LibvirtMessage = libvirtMessage
	a.conclude(outcome, f)
}

// conclude sets outcome and cause; the cause stands first among the findings.
func (a *attempt) conclude(outcome finding.Outcome, cause finding.Finding) {
	a.Outcome, a.Cause, a.LibvirtMessage = outcome, cause.Rule, cause.LibvirtMessage
	a.Findings = append([]finding.Finding{cause}, a.Findings...)
}

// stage begins a stage; the function it gives ends it.
func (a *attempt) stage(name string) func(error) {
	start := a.o.now()
	return func(err error) {
		s := Stage{Name: name}
		if a.o.Clock != nil {
			s.Duration = max(a.o.now().Sub(start), time.Nanosecond)
		}
		if err != nil {
			s.Err = err.Error()
		}
		a.Stages = append(a.Stages, s)
	}
}
