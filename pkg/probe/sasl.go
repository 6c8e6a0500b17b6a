package probe

import (
	"context"
	"crypto/sha1" //nolint:gosec // SCRAM-SHA-1
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"math"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// scramHashes are the SCRAM mechanisms (RFC 5802, RFC 7677) as Cyrus SASL has them.
var scramHashes = map[string]func() hash.Hash{
	"SCRAM-SHA-1": sha1.New, "SCRAM-SHA-224": sha256.New224, "SCRAM-SHA-256": sha256.New,
	"SCRAM-SHA-384": sha512.New384, "SCRAM-SHA-512": sha512.New,
}

const (
	mechanismPlain     = "PLAIN"
	mechanismAnonymous = "ANONYMOUS"
)

// saslPreference are the mechanisms that are done here, the best first.
var saslPreference = []string{"SCRAM-SHA-512", "SCRAM-SHA-384", "SCRAM-SHA-256", "SCRAM-SHA-224", "SCRAM-SHA-1", mechanismPlain, mechanismAnonymous}

// sasl is remoteAuthSASL.
func (a *attempt) sasl(ctx context.Context, c *Client, want string) bool {
	list, err := c.SASLInit(ctx)
	var remote *RemoteError
	if errors.As(err, &remote) {
		message := "the daemon asks for SASL and cannot begin it itself; its log says why: " + remote.Message
		if a.Target.Transport() == uri.TCP {
			message += "; over plain TCP only mechanisms that encrypt count (GSSAPI, DIGEST-MD5), so that PLAIN and SCRAM look as if they were missing"
		}
		a.fail(finding.AuthFails, "sasl-not-ready", message, remote.Message)
		return false
	} else if err != nil {
		a.broken(c, err, "AUTH_SASL_INIT")
		return false
	}
	offered := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	a.Server.Mechanisms = offered
	if want != "" {
		if !strings.Contains(list, want) {
			a.fail(finding.AuthFails, "sasl-mechanism-missing", fmt.Sprintf("auth=sasl.%s is demanded, letter for letter; the daemon offers %s", want, list),
				fmt.Sprintf("authentication failed: SASL mechanism %s not supported by server", want))
			return false
		}
		offered = []string{want}
	}
	mechanism := preferred(offered)
	switch {
	case mechanism == "":
		a.fail(finding.AuthFails, "sasl-mechanism-not-done", fmt.Sprintf("the daemon offers the SASL mechanisms %s, of which virt-pki does none (it does %s)",
			strings.Join(offered, ", "), strings.Join(saslPreference, ", ")), "")
		return false
	case a.Target.Transport() == uri.TCP:
		a.fail(finding.AuthFails, "sasl-needs-encryption", fmt.Sprintf("over plain TCP libvirt wants a SASL mechanism that encrypts; %s does not", mechanism),
			"authentication failed: negotiation SSF 0 was not strong enough")
		return false
	}
	s, ok := a.saslClient(mechanism)
	return ok && a.saslExchange(ctx, c, s)
}

func preferred(offered []string) string {
	for _, m := range saslPreference {
		for _, o := range offered {
			if strings.EqualFold(o, m) {
				return m
			}
		}
	}
	return ""
}

// A saslClient is one login. step answers what the server sent; the first call has nothing to answer.
type saslClient struct {
	mechanism, user string
	step            func(challenge string) (string, error)
	// done reports whether the server has proven what the mechanism has it prove.
	done func() bool
}

// saslClient finds the credentials and begins.
func (a *attempt) saslClient(mechanism string) (*saslClient, bool) {
	yes := func() bool { return true }
	if mechanism == mechanismAnonymous {
		return &saslClient{mechanism, "anonymous", func(string) (string, error) { return "virt-pki", nil }, yes}, true
	}
	user, password, ok := a.saslCredentials()
	if !ok {
		return nil, false
	}
	if strings.TrimSpace(user) == "" {
		message := "neither auth.conf nor anybody else says with which name and password to log in"
		if a.o.Ask != nil {
			message = "no name was given"
		}
		a.fail(finding.AuthFails, "sasl-no-credentials", message,
			"authentication failed: Failed to start SASL negotiation: -1 (SASL(-1): generic failure: All-whitespace username.)")
		return nil, false
	}
	if mechanism == mechanismPlain {
		return &saslClient{mechanism, user, func(string) (string, error) { return "\x00" + user + "\x00" + password, nil }, yes}, true
	}
	client, err := scram.HashGeneratorFcn(scramHashes[mechanism]).NewClient(user, password, "")
	if err != nil {
		a.fail(finding.AuthFails, "sasl-refused", "the name or the password has characters that SCRAM forbids (RFC 4013)", "authentication failed: authentication failed")
		return nil, false
	}
	conversation := client.NewConversation()
	step := func(challenge string) (string, error) {
		if n := scramIterations(challenge); n > maxIterations {
			return "", fmt.Errorf("the server wants %d rounds of hashing, more than %d", n, maxIterations)
		}
		return conversation.Step(challenge)
	}
	return &saslClient{mechanism, user, step, conversation.Valid}, true
}

// maxIterations bounds the work that a server may demand. Cyrus SASL has 4096.
const maxIterations = 2_000_000

// scramIterations gives the iteration count of a server's first message, 0 where there is none.
func scramIterations(challenge string) int {
	for _, field := range strings.Split(challenge, ",") {
		if text, ok := strings.CutPrefix(field, "i="); ok {
			n, err := strconv.Atoi(text)
			if err != nil {
				return math.MaxInt
			}
			return n
		}
	}
	return 0
}

// saslCredentials takes name and password from auth.conf ([auth-libvirt-HOST]; authname, password), and asks for what is
// not there (remoteAuthFillFromConfig, remoteAuthFillInteract).
func (a *attempt) saslCredentials() (user, password string, ok bool) {
	host := a.Target.Host()
	if host == "" {
		host = "localhost"
	}
	conf, reason, err := a.authConf()
	get := func(name, prompt string, echo bool) string {
		if err != nil {
			return ""
		}
		v, found, lookupErr := conf.lookup("libvirt", host, name)
		if err = lookupErr; err != nil || found {
			return v
		}
		if v, _, lookupErr = a.answer(prompt, echo); lookupErr != nil {
			a.fail(finding.AuthFails, "sasl-no-credentials", "no credentials were given: "+lookupErr.Error(), "authentication failed: Failed to collect auth credentials")
			err = errStopped
		}
		return v
	}
	user = get("authname", "Please enter your authentication name", true)
	password = get("password", "Please enter your password", false)
	switch {
	case errors.Is(err, errStopped):
		return "", "", false
	case err != nil:
		message := err.Error()
		if reason != "" {
			message = "auth.conf cannot be read: " + reason
		}
		a.fail(finding.AuthFails, "auth-conf-unusable", message, err.Error())
		return "", "", false
	}
	return user, password, true
}

// maxSASLSteps is more than any mechanism here takes.
const maxSASLSteps = 8

// saslExchange talks until the daemon is content.
func (a *attempt) saslExchange(ctx context.Context, c *Client, s *saslClient) bool {
	refuse := func(err error, call string) bool {
		var remote *RemoteError
		if errors.As(err, &remote) {
			a.fail(finding.AuthFails, "sasl-refused", fmt.Sprintf("the daemon refuses the SASL user %s with %s: %s", s.user, s.mechanism, remote.Message), remote.Message)
		} else {
			a.broken(c, err, call)
		}
		return false
	}
	first, err := s.step("")
	if err != nil {
		a.fail(finding.AuthFails, "sasl-refused", fmt.Sprintf("%s: %v", s.mechanism, err), "")
		return false
	}
	complete, challenge, err := c.SASLStart(ctx, s.mechanism, []byte(first))
	if err != nil {
		return refuse(err, "AUTH_SASL_START")
	}
	for range maxSASLSteps {
		if complete && (challenge == nil || s.done()) {
			if s.done() {
				return true
			}
			break
		}
		answer, err := s.step(string(challenge))
		if err != nil {
			a.fail(finding.AuthFails, "sasl-server-unproven", fmt.Sprintf("what the daemon answered in %s does not prove that it knows the password: %v", s.mechanism, err), "")
			return false
		}
		if complete {
			continue // it was the server's proof
		}
		if complete, challenge, err = c.SASLStep(ctx, []byte(answer)); err != nil {
			return refuse(err, "AUTH_SASL_STEP")
		}
	}
	a.fail(finding.AuthFails, "sasl-server-unproven", fmt.Sprintf("the daemon did not end %s as it should", s.mechanism), "authentication failed: authentication failed")
	return false
}
