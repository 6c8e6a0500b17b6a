package probe

import (
	"context"
	"crypto/md5" //nolint:gosec // the fingerprint that libvirt shows
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// sshGlobalKnownHosts is the second file that libssh looks into, whatever known_hosts= says.
const sshGlobalKnownHosts = "/etc/ssh/ssh_known_hosts"

// The host key algorithms of either library, in its order.
var (
	libsshHostKeys = []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA521, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA256,
		ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	libssh2HostKeys = []string{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoED25519,
		ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	// libssh2 before 1.11 knows no RSA signature but that with SHA-1, which OpenSSH 8.8 and later refuses.
	libssh2OldHostKeys = []string{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoED25519, ssh.KeyAlgoRSA}
)

// libssh logs in over SSH within this process and has the remote command run (virNetClientNewLibSSH,
// virNetClientNewLibSSH2).
func (a *attempt) libssh(ctx context.Context) (net.Conn, bool) {
	d := newSSHLogin(a)
	if !d.prepare() {
		return nil, false
	}
	conn, ok := a.tcp(ctx)
	if !ok {
		return nil, false
	}
	if !d.readConfig() {
		conn.Close()
		return nil, false
	}
	end := a.stage(StageLogin)
	client, err := d.login(ctx, conn)
	if err != nil {
		conn.Close()
		end(err)
		return nil, false
	}
	end(nil)
	end = a.stage(StageCommand)
	command, _ := a.Target.RemoteCommand()
	remote, err := startRemote(client, command)
	end(err)
	if err != nil {
		client.Close()
		a.fail(finding.TransportFails, "libssh-handshake", "the login works, but no command can be run on the far side: "+err.Error(),
			d.class()+"failed to open ssh channel: "+err.Error())
		return nil, false
	}
	return remote, true
}

// rsaSHA1 reports whether the library signs with RSA and SHA-1 only: libssh2 1.10, which distributions shipped with
// libvirt 9.
func (d *sshLogin) rsaSHA1() bool { return d.lib == uri.LibSSH2 && !d.a.o.Libvirt.AtLeast(10, 0) }

// class is the error class of libvirt's messages.
func (d *sshLogin) class() string {
	if d.lib == uri.LibSSH {
		return "libssh transport error: "
	}
	return "SSH transport error: "
}

const authFailed = "authentication failed: "

// prepare does what libvirt does before it connects. The files are read here once.
func (d *sshLogin) prepare() bool {
	a := d.a
	for _, m := range d.methods {
		if m == methodPrivkey && len(d.Keys) == 0 {
			text := "Key file path must be provided for private key authentication"
			if d.lib == uri.LibSSH2 && !a.o.Libvirt.AtLeast(11, 0) {
				text = "Username and key file path must be provided for private key authentication"
			}
			a.fail(finding.TransportFails, "libssh-no-key", "sshauth=privkey, and neither keyfile= nor a key in ~/.ssh", d.class()+text)
			return false
		}
	}
	if d.lib == uri.LibSSH {
		return true
	}
	text, _ := a.o.ReadFile(d.KnownHosts) // a missing or unreadable one is an empty one
	known, line, ok := libssh2KnownHosts(text, a.Target.Host(), int(a.Target.TCPPort()))
	if !ok {
		a.fail(finding.TransportFails, "libssh2-known-hosts-unreadable",
			fmt.Sprintf("%s:%d: libssh2 cannot read this line, and then takes nothing of the file", d.KnownHosts, line),
			d.class()+fmt.Sprintf("unable to load knownhosts file '%s': Failed to parse known hosts file", d.KnownHosts))
		return false
	}
	d.known = known
	return true
}

// hostKeyAlgorithms are those offered to the server. libssh asks for a key it knows first.
func (d *sshLogin) hostKeyAlgorithms() []string {
	switch {
	case d.rsaSHA1():
		return libssh2OldHostKeys
	case d.lib == uri.LibSSH2:
		return libssh2HostKeys
	}
	var algorithms []string
	add := func(names ...string) {
		for _, n := range names {
			seen := false
			for _, have := range algorithms {
				seen = seen || have == n
			}
			if !seen {
				algorithms = append(algorithms, n)
			}
		}
	}
	if c := d.config.hostKeyAlgorithms; len(c) > 0 {
		return c
	}
	for _, t := range append(d.known.types(), d.global.types()...) {
		if t == ssh.KeyAlgoRSA {
			add(ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			continue
		}
		add(t)
	}
	add(libsshHostKeys...)
	return algorithms
}

// checkHostKey is virNetLibsshCheckHostKey and virNetSSHCheckHostKey.
func (d *sshLogin) checkHostKey(key ssh.PublicKey) error {
	a := d.a
	a.Server.HostKey = ssh.FingerprintSHA256(key)
	if d.Verification == uri.VerifyIgnore || d.config.anyKey {
		return nil
	}
	host, port := a.Target.Host(), a.Target.TCPPort()
	verdict, stored := d.known.judge(key)
	where := d.userKnown
	if d.lib == uri.LibSSH && verdict != hostKeyKnown {
		if v, _ := d.global.judge(key); v != hostKeyUnknown {
			verdict, where = v, d.globalKnown
		}
	}
	hash := d.hash(key)
	switch verdict {
	case hostKeyKnown:
		return nil
	case hostKeyChanged:
		shown := hash
		if d.lib == uri.LibSSH2 {
			shown = stored // libvirt shows the old key and calls it the new one
		}
		return d.stop("libssh-host-key-changed", fmt.Sprintf("%s shows a %s key, %s, which is not the one in %s", a.Server.Address, key.Type(), a.Server.HostKey, where),
			authFailed+fmt.Sprintf("!!! SSH HOST KEY VERIFICATION FAILED !!!: Identity of host '%s:%d' differs from stored identity. "+
				"Please verify the new host key '%s' to avoid possible man in the middle attack. The key is stored in '%s'.", host, port, shown, d.KnownHosts))
	}
	if d.Verification == uri.VerifyNormal {
		prompt := fmt.Sprintf("Accept SSH host key with hash '%s' for host '%s:%d' (y/n)?", hash, host, port)
		answer, _, err := d.ask(prompt, true)
		if err != nil {
			return d.stop("libssh-host-key-unknown", "nobody said whether the host key is right: "+err.Error(), d.class()+"failed to retrieve decision to accept host key")
		}
		if !strings.EqualFold(answer, "y") {
			return d.stop("libssh-host-key-unknown", fmt.Sprintf("%s does not have the host's %s key, %s", d.userKnown, key.Type(), a.Server.HostKey),
				d.class()+fmt.Sprintf("SSH host key for '%s' (%s) was not accepted", host, hash))
		}
	}
	a.Findings = append(a.Findings, ruleByID("libssh-host-key-new").Finding(a.URI,
		fmt.Sprintf("%s does not have the host's %s key, %s; libvirt would store it there, virt-pki does not", d.userKnown, key.Type(), a.Server.HostKey)))
	return nil
}

// hash is the fingerprint in libvirt's spelling: SHA-256 for libssh, MD5 in capitals for libssh2.
func (d *sshLogin) hash(key ssh.PublicKey) string {
	sum, format := make([]byte, 0, sha256.Size), "%02x"
	if d.lib == uri.LibSSH {
		s := sha256.Sum256(key.Marshal())
		sum = append(sum, s[:]...)
	} else {
		s := md5.Sum(key.Marshal()) //nolint:gosec // see the import
		sum, format = append(sum, s[:]...), "%02X"
	}
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf(format, b)
	}
	return strings.Join(parts, ":")
}

// login does handshake, host key and authentication. When it fails the attempt has been concluded.
func (d *sshLogin) login(ctx context.Context, conn net.Conn) (*ssh.Client, error) {
	a := d.a
	p, release := newPatience(ctx, a.o.Limits.command(), conn)
	defer release()
	d.ctx, d.patience = ctx, p
	defer d.closeAgent()
	c, channels, requests, err := ssh.NewClientConn(conn, a.Server.Address, &ssh.ClientConfig{
		User:              d.User,
		HostKeyAlgorithms: d.hostKeyAlgorithms(),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			err := d.checkHostKey(key)
			d.shaken = err == nil
			return err
		},
		AuthCallback: d.next,
	})
	if err == nil {
		return ssh.NewClient(c, channels, requests), nil
	}
	if p.over() {
		a.fail(finding.Hangs, "peer-silent", fmt.Sprintf("%s answered nothing that SSH can go on with within %v; virsh waits for ever",
			a.Server.Address, p.limit), "")
		return nil, err
	}
	if d.failure == nil && (d.current == methodPassword || d.current == methodKeyboard) {
		d.over = true
		_, _ = d.refused() // the server has had enough and hung up; this notes it
	}
	f := d.failure
	switch {
	case f != nil:
	case d.shaken:
		f = d.refusal(err)
	default:
		f = d.notShaken(err)
	}
	a.fail(f.outcome, f.rule, f.message, f.text)
	return nil, errors.New(f.message)
}

// notShaken words a handshake that failed.
func (d *sshLogin) notShaken(err error) *sshFailure {
	const class = "no connection driver available for SSH session handshake failed: "
	f := &sshFailure{outcome: finding.TransportFails, rule: "libssh-handshake", message: fmt.Sprintf("no SSH session with %s: %v", d.a.Server.Address, err)}
	var n *ssh.AlgorithmNegotiationError
	switch {
	case errors.As(err, &n) && d.lib == uri.LibSSH2:
		f.text = class + "Unable to exchange encryption keys"
	case errors.As(err, &n):
		f.text = class + fmt.Sprintf("kex error : no match for method %s: server [%s], client [%s]", libsshMethod(n.What),
			strings.Join(n.RequestedAlgorithms, ","), strings.Join(n.SupportedAlgorithms, ","))
	case d.lib == uri.LibSSH2:
		f.text = class + "Failed getting banner"
	default:
		f.text = class + "Socket error: disconnected"
	}
	return f
}

// libsshMethod is libssh's name for what was negotiated.
func libsshMethod(what string) string {
	switch what {
	case "host key":
		return "server host key algo"
	case "key exchange":
		return "kex algos"
	}
	return what
}
