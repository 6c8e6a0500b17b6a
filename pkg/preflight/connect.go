package preflight

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/probe"
	"github.com/virt-pki/virt-pki/pkg/unit"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A Client is who wants to connect.
type Client struct {
	Machine
	// URI describes the caller. Libvirt, Root, Home, ConfigHome and RuntimeDir are set from the Machine; where Settings are
	// nil, libvirt.conf is read from it.
	URI uri.Options
	// At is the time by which certificates are judged.
	At time.Time
	// Memory of signatures may be shared by both ends and many predictions.
	Memory *verify.Memory
	// Resolver looks up the host of the URI; nil: it is taken to be the daemon's.
	Resolver probe.Resolver
	// LookPath finds a program in $PATH; nil: every program is there.
	LookPath func(name string) error
	// Agent says that an SSH agent can be asked.
	Agent bool
	// Terminal says that somebody can be asked about host keys.
	Terminal bool
	// LoginHome is the home of the user's passwd entry, where the ssh binary has its files; empty: they are not looked at.
	LoginHome string
	// Engine says who makes the TLS of the proof, see handshake.Engine; Program does it with the GnuTLS of this machine;
	// nil: there is none.
	Engine  handshake.Engine
	Program *gnutls.Program
	// SameMachine says that client and daemon are one machine.
	SameMachine bool

	// loaded keeps what was loaded, for a client that makes many connections; nil: it is loaded each time.
	loaded *loadedFiles
}

// A Connection is what one attempt is predicted to come to.
type Connection struct {
	URI     string
	Outcome finding.Outcome
	// Cause is the rule that decides; empty when connected. Remedy is its cure for this case.
	Cause, Remedy string
	// LibvirtMessage is what the user of the client sees, DaemonMessage what the daemon logs; empty where there is
	// nothing, or where the text cannot be known.
	LibvirtMessage, DaemonMessage string
	// TLS, Suite and Group are what the two ends agree on, where it came to that.
	TLS, Suite, Group string
	// Signature is the algorithm of the daemon's signature; empty where the session has none.
	Signature string
	// Engine says what the proof was made with: go, or gnutls and its version; empty: there was none.
	Engine string
	// Simulated says that there was no TLS in memory: the keys are not at hand or of a kind that Go does not know.
	Simulated bool
	// Findings are those about this connection; the cause stands first.
	Findings []finding.Finding
	// RFC5280 is what RFC 5280 says to the certificates that the two ends showed; where libvirt says otherwise, Findings has
	// it, too.
	RFC5280 Opinions
	// Unchecked says what the outcome takes for granted.
	Unchecked []string

	beside []Beside
}

// attempt is one prediction at work.
type attempt struct {
	*Connection
	s *Server
	c Client
	u uri.URI
}

// Connect predicts one connection. The error is for what is no outcome: the end of ctx.
func (s *Server) Connect(ctx context.Context, text string, c Client) (Connection, error) {
	a := attempt{&Connection{URI: text}, s, c, uri.URI{}}
	err := a.run(ctx)
	if err == nil {
		err = ctx.Err()
	}
	return *a.Connection, err
}

func (a *attempt) run(ctx context.Context) error {
	if !a.parse() {
		return nil
	}
	switch a.u.Transport() {
	case uri.TLS:
		own := a.credentials()
		if own == nil || !a.reach(ctx, a.s.ListensTLS, true) {
			return nil
		}
		if ok, err := a.tls(ctx, *own); !ok || err != nil {
			return err
		}
		if !a.authenticate(a.s.Conf.AuthTLS) {
			return nil
		}
	case uri.TCP:
		if !a.reach(ctx, a.s.ListensTCP, false) || !a.authenticate(a.s.Conf.AuthTCP) {
			return nil
		}
	case uri.Unix:
		if !a.unix() {
			return nil
		}
	case uri.SSH, uri.LibSSH, uri.LibSSH2, uri.Ext:
		if !a.command() {
			return nil
		}
	default:
		a.insideClient()
		return nil
	}
	a.open()
	return nil
}

// parse reads libvirt.conf and the URI.
func (a *attempt) parse() bool {
	o := a.c.URI
	o.Libvirt = uri.Version{Major: a.c.Libvirt.Major, Minor: a.c.Libvirt.Minor}
	o.Root, o.Home, o.ConfigHome, o.RuntimeDir = a.c.Root, a.c.Home, a.c.ConfigHome, a.c.RuntimeDir
	if o.Settings == nil {
		settings, err := probe.Settings(o, a.c.ReadFile)
		if err != nil {
			f := ruleByID("client-conf-unreadable").Finding(o.ConfFile(), "libvirt.conf stops every connection: "+err.Error())
			f.LibvirtMessage = err.Error()
			a.conclude(finding.ClientConfError, f)
			return false
		}
		o.Settings = settings
	}
	u, err := uri.Parse(a.URI, o)
	if err != nil {
		var e *uri.Error
		if errors.As(err, &e) {
			a.conclude(e.Outcome, e.Finding())
		}
		return false
	}
	a.u = u
	a.Findings = append(a.Findings, u.Findings()...)
	return true
}

// credentials judges the client's own files; nil: it stops at them.
func (a *attempt) credentials() *credentials {
	dir, set := a.u.Param("pkipath")
	own := a.c.loadOnce(dir, set, a.u.NoSanity())
	if own.cause != nil {
		a.conclude(finding.ClientLocal, *own.cause)
		a.also(own.findings, finding.Error)
		for _, f := range a.s.d.Judge.ofOwn(own, certs.Client, a.c.At, a.c.Memory) {
			a.remark(remark{Finding: f}, certs.Client)
		}
		return nil
	}
	return &own
}

// reach predicts name look-up and connect.
func (a *attempt) reach(ctx context.Context, listens, tls bool) bool {
	s := a.s
	var addrs []netip.Addr
	if a.c.Resolver != nil {
		var err error
		if addrs, err = s.resolve(ctx, a.u.Host(), a.c.Resolver); err != nil {
			id, text := probe.ResolveFailure(err)
			f := ruleByID(id).Finding(a.URI, fmt.Sprintf("The name %q has no address: %s.", a.u.Host(), text))
			f.LibvirtMessage = fmt.Sprintf("Unable to resolve address '%s' service '%d': %s", a.u.Host(), a.u.Port(), text)
			a.conclude(finding.Network, f)
			return false
		}
	}
	if !s.Starts {
		a.down()
		return false
	}
	refused := func(rule, message string) bool {
		f := ruleByID(rule).Finding(a.URI, message)
		f.LibvirtMessage = fmt.Sprintf("unable to connect to server at '%s': Connection refused", a.u.Address())
		a.conclude(finding.Network, f)
		return false
	}
	if s.listen != nil && addrs != nil && !slices.ContainsFunc(addrs, s.listensOn) {
		return refused("listen-address-other", fmt.Sprintf("The client connects to %s, and the daemon listens on %s only.", words(addrs), words(s.listen)))
	}
	right, wrong := s.doors(tls), s.doors(!tls)
	takes := func(d door) bool {
		return d.known && d.port == a.u.TCPPort() && (addrs == nil || slices.ContainsFunc(addrs, d.stream.Takes))
	}
	switch {
	case listens && slices.ContainsFunc(right, takes):
		return true
	case slices.ContainsFunc(wrong, takes) && tls:
		f := ruleByID("transport-crossed").Finding(a.URI, fmt.Sprintf("Port %d is where the daemon speaks without TLS.", a.u.TCPPort()))
		f.LibvirtMessage = msgTerminated
		a.conclude(finding.HandshakeFails, f)
		return false
	case slices.ContainsFunc(wrong, takes):
		f := ruleByID("transport-crossed").Finding(a.URI, fmt.Sprintf("Port %d is where the daemon speaks TLS.", a.u.TCPPort()))
		f.LibvirtMessage = "Cannot recv data: Connection reset by peer"
		a.conclude(finding.TransportFails, f)
		return false
	case !listens && s.deaf != nil:
		f := *s.deaf
		f.LibvirtMessage = fmt.Sprintf("unable to connect to server at '%s': Connection refused", a.u.Address())
		a.conclude(finding.Network, f)
		return false
	case !listens:
		return refused("daemon-does-not-listen", s.whyDeaf(tls))
	}
	for _, d := range right {
		if d.known && d.port == a.u.TCPPort() {
			return refused("listen-address-other", fmt.Sprintf("The client connects to %s, and the daemon's socket unit listens on %s only.",
				words(addrs), doorsText(right)))
		}
	}
	message := fmt.Sprintf("The client connects to port %d, and the daemon listens on %s.", a.u.TCPPort(), doorsText(right))
	if !right[0].known {
		message = fmt.Sprintf("The client connects to port %d, and the daemon listens on one that the system chooses: the configured port is %q.",
			a.u.TCPPort(), right[0].text)
	}
	return refused("listen-port-other", message)
}

// A door is a port where the daemon waits for clients.
type door struct {
	text  string
	port  uint16
	known bool
	// stream says on which addresses; its zero value is all.
	stream unit.Stream
}

// doors lists where the daemon listens for TLS, or for TCP.
func (s *Server) doors(tls bool) []door {
	on, text, streams := s.ListensTLS, "", s.tcp
	if tls {
		streams = s.tls
	} else {
		on = s.ListensTCP
	}
	switch {
	case !on:
		return nil
	case s.Conf.Run.SocketActivated:
		var out []door
		for _, x := range streams {
			if x.Port != 0 {
				out = append(out, door{x.Text, x.Port, true, x})
			}
		}
		return out
	case tls:
		text = s.Conf.TLSPort
	default:
		text = s.Conf.TCPPort
	}
	n, ok := s.port(text)
	return []door{{text, n, ok, unit.Stream{}}}
}

// TLSPort gives the port on which the daemon listens for TLS, the first of several; 0: it does not, or the system chooses it.
func (s *Server) TLSPort() uint16 {
	for _, d := range s.doors(true) {
		return d.port
	}
	return 0
}

// TLSPorts gives where it listens for TLS as the configuration, or the socket unit, has it.
func (s *Server) TLSPorts() string { return doorsText(s.doors(true)) }

func doorsText(doors []door) string {
	var out []string
	for _, d := range doors {
		out = append(out, d.text)
	}
	return strings.Join(out, " and ")
}

// listensOn reports whether the daemon listens on an address. IPv6 sockets take no IPv4 (virNetSocketNewListenTCP).
func (s *Server) listensOn(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, l := range s.listen {
		if l == a || l.IsUnspecified() && l.Is4() == a.Is4() {
			return true
		}
	}
	return false
}

func words(addrs []netip.Addr) string {
	text := ""
	for i, a := range addrs {
		if i > 0 {
			text += ", "
		}
		text += a.Unmap().String()
	}
	return text
}

// down says that the daemon does not start, which is the one cause of all that follows.
func (a *attempt) down() {
	a.Outcome, a.Cause, a.Remedy = finding.DaemonDown, a.s.Cause, a.s.cause.Remedy
	a.LibvirtMessage = fmt.Sprintf("unable to connect to server at '%s': Connection refused", a.u.Address())
	a.Findings = nil
}

// conclude sets outcome and cause. What is wrong besides is of no use to who has to cure the cause first.
func (a *attempt) conclude(o finding.Outcome, f finding.Finding) {
	a.Outcome, a.Cause, a.Remedy, a.LibvirtMessage = o, f.Rule, f.Remedy, f.LibvirtMessage
	a.Findings = append([]finding.Finding{f}, a.Findings...)
}

// also adds findings up to a severity that are not there yet.
func (a *attempt) also(fs []finding.Finding, most finding.Severity) {
	seen := map[string]bool{}
	for _, f := range a.Findings {
		seen[caseOf(f)] = true
	}
	for _, f := range fs {
		if f.Severity <= most && !seen[caseOf(f)] {
			a.Findings = append(a.Findings, f)
		}
	}
}
