package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// The words of sshauth=.
const (
	methodAgent    = "agent"
	methodPrivkey  = "privkey"
	methodPassword = "password"
	methodKeyboard = "keyboard-interactive"
)

// maxTries is how often a password is asked for: OpenSSH's MaxAuthTries. libvirt asks until the server has enough.
const maxTries = 6

// An sshFailure concludes an attempt.
type sshFailure struct {
	outcome             finding.Outcome
	rule, message, text string
}

// errStopped ends a handshake whose failure has been noted.
var errStopped = errors.New("stopped")

// sshLogin is a login as libssh's or libssh2's code in libvirt does it (virNetLibsshAuthenticate,
// virNetSSHAuthenticateSession): method after method in the order of sshauth=, each with its own idea of what ends
// everything. It is driven by the SSH package, which calls next after each refusal.
type sshLogin struct {
	uri.Login
	a       *attempt
	lib     uri.Transport
	methods []string

	known, global knownHosts
	// userKnown and globalKnown are the files they came from.
	userKnown, globalKnown string
	config                 sshConfig

	ctx      context.Context
	patience *patience
	agent    net.Conn

	shaken  bool   // the host key was accepted
	at      int    // the method that is tried next
	current string // the one that was tried last
	tries   int    // of it
	asked   bool   // somebody was asked for it
	prompts int    // questions of the server
	allowed []string
	last    string // the name of what the server refused last, in libssh's words
	own     string // libvirt's text of the last method, used when it is the only one
	tried   bool   // a method was really tried
	over    bool   // the server has hung up
	// fromConf: the password came from auth.conf. rsaRefused: a key could be used with SHA-1 only.
	fromConf, rsaRefused bool

	failure *sshFailure
}

func newSSHLogin(a *attempt) *sshLogin {
	l, _ := a.Target.Login(a.exists)
	return &sshLogin{Login: l, a: a, lib: a.Target.Transport(), methods: l.Methods, last: "none"}
}

// stop notes what ends everything.
func (d *sshLogin) stop(rule, message, text string) error {
	d.failure = &sshFailure{finding.TransportFails, rule, message, text}
	return errStopped
}

func (d *sshLogin) ask(prompt string, echo bool) (text string, asked bool, err error) {
	d.patience.paused(func() { text, asked, err = d.a.answer(prompt, echo) })
	return text, asked, err
}

// next picks what is tried after a refusal; at first that of the method none, with which both libraries learn what the
// server takes.
func (d *sshLogin) next(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	d.allowed = c.AllowedMethods
	if again, err := d.refused(); again != nil || err != nil {
		return again, err
	}
	for d.at < len(d.methods) {
		d.current, d.tries, d.asked, d.prompts = d.methods[d.at], 0, false, 0
		d.at++
		m, err := d.begin()
		if m != nil || err != nil {
			return m, err
		}
	}
	d.current = ""
	return nil, errStopped // what it came to is said by refusal
}

func (d *sshLogin) takes(method string) bool {
	for _, m := range d.allowed {
		if m == method {
			return true
		}
	}
	return false
}

// begin starts the current method; nil when it cannot be tried.
func (d *sshLogin) begin() (ssh.AuthMethod, error) {
	wire := d.current
	if wire == methodAgent || wire == methodPrivkey {
		wire = "publickey"
	}
	if !d.takes(wire) {
		d.own = unknownError
		return nil, nil
	}
	d.tried = true
	switch d.current {
	case methodAgent:
		return d.viaAgent()
	case methodPrivkey:
		return d.viaKey()
	case methodPassword:
		return d.password()
	}
	return d.keyboard(), nil
}

// refused looks at the method that the server has just refused; it is tried again, or ends everything, or neither.
func (d *sshLogin) refused() (ssh.AuthMethod, error) {
	switch d.current {
	case methodAgent:
		d.last, d.own = "publickey", authFailed+"All identities provided by the SSH Agent were rejected"
	case methodPrivkey:
		d.last = "publickey"
		d.own = authFailed + fmt.Sprintf("authentication with private key '%s' has failed: Username/PublicKey combination invalid", d.Keys[0])
	case methodPassword:
		d.last = methodPassword
		if d.asked && d.tries < maxTries && !d.over {
			return d.password()
		}
		return nil, d.enough("the password was refused", "authentication failed: Waiting for password response")
	case methodKeyboard:
		d.last = "unknown"
		if d.prompts == 0 && d.lib == uri.LibSSH {
			break
		}
		if d.prompts > 0 && d.asked && d.tries < maxTries && !d.over {
			return d.keyboard(), nil
		}
		return nil, d.enough("the answers to the server's questions were refused",
			"keyboard interactive authentication failed: Unable to send keyboard-interactive request")
	}
	return nil, nil
}

// enough ends everything after refused passwords: libvirt goes on asking until the server hangs up; with libssh it then
// waits for ever.
func (d *sshLogin) enough(message, text string) error {
	message = fmt.Sprintf("%s for the user %s", message, d.User)
	if d.a.o.Ask == nil && !d.fromConf {
		message += ": there is nobody to ask for one, and no auth.conf has it"
	}
	d.failure = &sshFailure{finding.TransportFails, "libssh-login-refused", message, authFailed + text}
	if d.lib == uri.LibSSH {
		d.failure.outcome, d.failure.text = finding.Hangs, ""
		d.failure.message += "; virsh then waits for ever"
	}
	return errStopped
}

// refusal concludes when no method was taken.
func (d *sshLogin) refusal(err error) *sshFailure {
	f := &sshFailure{finding.TransportFails, "libssh-login-refused", "", ""}
	takes := strings.Join(d.allowed, ", ")
	f.message = fmt.Sprintf("%s does not let %s in with %s; it takes %s", d.a.Server.Address, d.User, strings.Join(d.methods, ", "), takes)
	if _, named := d.a.Target.User(); !named {
		f.message += fmt.Sprintf(" (%s logs in as root where the URI names no user, ssh as the caller)", d.lib)
	}
	switch {
	case len(d.methods) == 0:
		f.message, f.text = "sshauth= names no method", d.class()+"No authentication methods and credentials provided"
	case len(d.allowed) == 0:
		f.message, f.text = fmt.Sprintf("%s ended the login: %v", d.a.Server.Address, err), d.class()+"failed to authenticate: Socket error: disconnected"
		if d.lib == uri.LibSSH2 {
			f.text = d.class() + "couldn't retrieve authentication methods list: Failed getting response"
		}
	case len(d.methods) == 1 && d.lib == uri.LibSSH2:
		f.text = d.own
		if d.rsaRefused {
			f.message += "; libssh2 before 1.11 signs with RSA and SHA-1 only, which OpenSSH 8.8 and later refuses: use an Ed25519 key"
		}
	case len(d.methods) == 1:
		f.text = d.class() + "failed to authenticate: "
		if strings.HasPrefix(d.own, "Error from connect") {
			f.text += d.own
		} else {
			f.text += fmt.Sprintf("Access denied for '%s'. Authentication that can continue: %s", d.last, strings.Join(d.allowed, ","))
		}
	case !d.tried:
		f.text = authFailed + "None of the requested authentication methods are supported by the server"
	default:
		f.text = authFailed + "All provided authentication methods with credentials were rejected by the server"
	}
	return f
}

// viaAgent offers the keys of the agent.
func (d *sshLogin) viaAgent() (ssh.AuthMethod, error) {
	path, ok := d.a.o.lookupEnv("SSH_AUTH_SOCK")
	if !ok || path == "" {
		d.own = d.class() + "Failed to connect to ssh agent"
		return nil, nil
	}
	conn, err := d.a.o.Dialer.DialContext(d.ctx, "unix", path)
	if err != nil {
		d.own = d.class() + "Failed to connect to ssh agent"
		if d.lib == uri.LibSSH {
			d.own = fmt.Sprintf("Error from connect(%s): %s", path, strerror(err))
		}
		return nil, nil
	}
	d.agent = conn
	stop := context.AfterFunc(d.ctx, func() { conn.Close() })
	defer stop()
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		d.own = d.class() + "Failed to list ssh agent identities"
		return nil, nil
	}
	if len(signers) == 0 {
		d.own = authFailed + "SSH Agent did not provide any authentication identity"
		return nil, nil
	}
	for i, s := range signers {
		signers[i] = d.limited(s)
	}
	return ssh.PublicKeys(signers...), nil
}

func (d *sshLogin) closeAgent() {
	if d.agent != nil {
		d.agent.Close()
	}
}

// limited takes from an RSA key what an old libssh2 does not know.
func (d *sshLogin) limited(s ssh.Signer) ssh.Signer {
	as, ok := s.(ssh.AlgorithmSigner)
	if !d.rsaSHA1() || !ok || s.PublicKey().Type() != ssh.KeyAlgoRSA {
		return s
	}
	old, err := ssh.NewSignerWithAlgorithms(as, []string{ssh.KeyAlgoRSA})
	if err != nil {
		return s
	}
	d.rsaRefused = true // if it is refused
	return old
}

// viaKey reads the private key. A key that cannot be read ends everything.
func (d *sshLogin) viaKey() (ssh.AuthMethod, error) {
	path := d.Keys[0]
	b, err := d.a.o.ReadFile(path)
	if err != nil {
		text := fmt.Sprintf("error while opening private key '%s', wrong passphrase?", path)
		if errors.Is(err, fs.ErrNotExist) && path != "" || errors.Is(err, fs.ErrPermission) {
			text = fmt.Sprintf("error while reading private key '%s'", path)
		}
		if d.lib == uri.LibSSH2 {
			why := "Unable to open private key file"
			if strerror(err) == "Is a directory" {
				why = wrongPassphrase
			}
			text = fmt.Sprintf("authentication with private key '%s' has failed: Unable to extract public key from private key file: %s", path, why)
		}
		return nil, d.stop("libssh-key-unreadable", fmt.Sprintf("the private key %q cannot be read: %s", path, strerror(err)), authFailed+text)
	}
	signer, err := ssh.ParsePrivateKey(b)
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		prompt := "Passphrase"
		if d.lib == uri.LibSSH2 {
			prompt = fmt.Sprintf("Passphrase for key '%s'", path)
		}
		var passphrase string
		if passphrase, _, err = d.ask(prompt, false); err == nil {
			signer, err = ssh.ParsePrivateKeyWithPassphrase(b, []byte(passphrase))
		}
	}
	if err != nil {
		text := fmt.Sprintf("error while opening private key '%s', wrong passphrase?", path)
		if d.lib == uri.LibSSH2 {
			text = fmt.Sprintf("authentication with private key '%s' has failed: Unable to extract public key from private key file: %s", path, wrongPassphrase)
		}
		message := fmt.Sprintf("the private key %q cannot be read: it is no key that SSH knows", path)
		if missing != nil {
			message = fmt.Sprintf("the private key %q is encrypted, and its passphrase was not given", path)
		}
		return nil, d.stop("libssh-key-unreadable", message, authFailed+text)
	}
	return ssh.PublicKeys(d.limited(signer)), nil
}

const wrongPassphrase = "Wrong passphrase or invalid/unrecognized private key file format"

// password takes the password from auth.conf or asks for it (virAuthGetPasswordPath).
func (d *sshLogin) password() (ssh.AuthMethod, error) {
	d.tries++
	host := d.a.Target.Host()
	conf, reason, err := d.a.authConf()
	var word string
	if err == nil {
		word, d.fromConf, err = conf.lookup("ssh", host, "password")
	}
	if err != nil {
		message := err.Error()
		if reason != "" {
			message = "auth.conf cannot be read: " + reason
		}
		return nil, d.stop("auth-conf-unusable", message, err.Error())
	}
	if !d.fromConf {
		word, d.asked, err = d.ask(fmt.Sprintf("Enter %s's password for %s", d.User, host), false)
		if err != nil {
			return nil, d.stop("libssh-login-refused", "no password was given: "+err.Error(), authFailed+"Password request failed")
		}
	}
	return ssh.Password(word), nil
}

// keyboard answers the server's questions.
func (d *sshLogin) keyboard() ssh.AuthMethod {
	d.tries++
	return ssh.KeyboardInteractive(func(_, instruction string, questions []string, echos []bool) ([]string, error) {
		answers := make([]string, len(questions))
		for i, q := range questions {
			d.prompts++
			if i == 0 && instruction != "" {
				q = instruction + "\n" + q
			}
			var err error
			if answers[i], d.asked, err = d.ask(strings.TrimRight(q, ": "), echos[i]); err != nil {
				return nil, d.stop("libssh-login-refused", "no answer was given: "+err.Error(),
					authFailed+"failed to retrieve keyboard interactive result: callback has failed")
			}
		}
		return answers, nil
	})
}
