package token

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// Options say how a key is reached.
type Options struct {
	// Program is the path of virt-pki-pkcs11, Env its environment: modules have variables of their own (SOFTHSM2_CONF).
	Program string
	Env     []string
	// PIN opens the token. Nil: none is given.
	PIN []byte
	// Make is the algorithm of a key to be made if there is none.
	Make certs.KeyAlgorithm
	// Public is the key that is expected, of the CA's certificate. It stands in where a token does not tell a public key; the
	// private key must then prove itself.
	Public crypto.PublicKey
	// Timeout limits every operation. Zero: a minute; making a key may take ten times as long.
	Timeout time.Duration
}

const defaultTimeout = time.Minute

// maxAnswer bounds a line of the program, into whose output a module may print.
const maxAnswer = 64 << 10

// A Key is a private key in a token. It is a crypto.Signer; several goroutines may use it, one after the other signs.
type Key struct {
	ctx     context.Context
	uri     URI
	options Options

	mu     sync.Mutex
	worker *worker // nil: to be started again
	dead   error   // trying again would do harm
	closed bool

	public crypto.PublicKey
	token  string
	made   bool
}

// Open finds the key that a URI names, or makes one (Options.Make). Errors of the token are of type *Error: with Code
// PINNeeded it can be tried again with a PIN. The program that it starts ends with ctx or Close.
func Open(ctx context.Context, uri URI, o Options) (*Key, error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	o.PIN = append([]byte(nil), o.PIN...)
	k := &Key{ctx: ctx, uri: uri, options: o}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.start(); err != nil {
		clear(k.options.PIN)
		return nil, err
	}
	return k, nil
}

// start starts the program and opens the key in it.
func (k *Key) start() (err error) {
	if k.worker, err = startWorker(k.ctx, k.options); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			k.stop()
		}
	}()
	r := Request{Op: "open", URI: k.uri.WithoutPIN().String(), Make: string(k.options.Make)}
	if len(k.options.PIN) > 0 {
		pin := string(k.options.PIN)
		r.PIN = &pin
	}
	limit := k.options.Timeout
	if r.Make != "" {
		limit *= 10
	}
	a, err := k.worker.ask(r, limit)
	if err != nil {
		return err
	}
	again := k.public != nil
	public := k.options.Public
	if again {
		public = k.public
	}
	switch {
	case len(a.Public) > 0:
		told, err := x509.ParsePKIXPublicKey(a.Public)
		if err != nil {
			return fault(Refused, "", "the public key of the key in token %q cannot be read: %v", a.Token, err)
		}
		if again && !certs.SameKey(told, k.public) {
			return fault(Gone, "", "token %q has another key now", a.Token)
		}
		public = told
	case public == nil:
		return fault(Refused, "give the CA's certificate, or put the public key beside it under the same id",
			"token %q does not tell the public key of its private key", a.Token)
	default:
		if err := k.prove(public); err != nil {
			return err
		}
	}
	k.public, k.token = public, a.Token
	if !again {
		k.made = a.Made
		k.options.Make = "" // a key that is lost later is not made anew
	}
	return nil
}

// prove has the private key sign something, and checks it with the public key.
func (k *Key) prove(public crypto.PublicKey) error {
	message := make([]byte, 32)
	if _, err := rand.Read(message); err != nil {
		return err
	}
	digest, hash := message, crypto.SHA256
	if algorithm, _ := certs.AlgorithmOf(public); algorithm == certs.Ed25519 {
		hash = 0
	} else {
		sum := sha256.Sum256(message)
		digest = sum[:]
	}
	sig, err := k.ask(digest, hash)
	if err != nil {
		return err
	}
	fits := false
	switch public := public.(type) {
	case *rsa.PublicKey:
		fits = rsa.VerifyPKCS1v15(public, hash, digest, sig) == nil
	case *ecdsa.PublicKey:
		fits = ecdsa.VerifyASN1(public, digest, sig)
	case ed25519.PublicKey:
		fits = ed25519.Verify(public, message, sig)
	}
	if !fits {
		return fault(NoKey, "", "the private key in the token is not that of the CA certificate")
	}
	return nil
}

// Public gives the public key.
func (k *Key) Public() crypto.PublicKey { return k.public }

// Token gives the label of the token.
func (k *Key) Token() string { return k.token }

// Made reports whether Open made the key.
func (k *Key) Made() bool { return k.made }

// URI gives the URI without a PIN.
func (k *Key) URI() URI { return k.uri.WithoutPIN() }

// Sign has the token sign a digest; for Ed25519 the message. The random source is the token's.
func (k *Key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.closed:
		return nil, fault(Internal, "", "the key in the token was closed")
	case k.dead != nil:
		return nil, k.dead
	case opts.HashFunc() != 0 && opts.HashFunc().Size() != len(digest):
		return nil, fault(Internal, "", "a digest of %d octets is none of %v", len(digest), opts.HashFunc())
	}
	if k.worker == nil {
		if err := k.start(); err != nil {
			if errors.Is(err, &Error{Code: PINWrong}) || errors.Is(err, &Error{Code: PINLocked}) {
				k.dead = err
			}
			return nil, err
		}
	}
	return k.ask(digest, opts)
}

// ask has the program sign.
func (k *Key) ask(digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	r := Request{Op: "sign", Digest: digest}
	if h := opts.HashFunc(); h != 0 {
		r.Hash = h.String()
	}
	if pss, ok := opts.(*rsa.PSSOptions); ok {
		r.PSS, r.Salt = true, pss.SaltLength
		if pss.SaltLength == rsa.PSSSaltLengthAuto || pss.SaltLength == rsa.PSSSaltLengthEqualsHash {
			r.Salt = opts.HashFunc().Size()
		}
	}
	a, err := k.worker.ask(r, k.options.Timeout)
	if errors.Is(err, &Error{Code: Gone}) || errors.Is(err, &Error{Code: Internal}) {
		k.stop()
	}
	if err == nil && len(a.Signature) == 0 {
		err = fault(Internal, "", "the token gave no signature")
	}
	return a.Signature, err
}

// Destroy removes the key, which Open has made, from the token: what it was made for did not come about.
func (k *Key) Destroy() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.made || k.worker == nil {
		return fault(Internal, "", "only a key that was made just now is removed")
	}
	_, err := k.worker.ask(Request{Op: "destroy"}, k.options.Timeout)
	return err
}

// Close ends the use of the key.
func (k *Key) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	clear(k.options.PIN)
	k.stop()
	return nil
}

// stop ends the program.
func (k *Key) stop() {
	if k.worker != nil {
		k.worker.stop()
		k.worker = nil
	}
}

// A worker is a running virt-pki-pkcs11.
type worker struct {
	cancel  context.CancelFunc
	in      io.WriteCloser
	answers chan reply
	stderr  *tail
	ended   chan struct{}
	wait    error
}

// A reply is an answer, or why there is none.
type reply struct {
	answer Answer
	err    error
}

// tail keeps the last of what a program says on standard error.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if n := len(t.text); n > 512 {
		t.text = append(t.text[:0], t.text[n-512:]...)
	}
	return len(p), nil
}

// last gives the last line.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(t.text), "?")), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// startWorker starts the program.
func startWorker(ctx context.Context, o Options) (*worker, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, o.Program)
	cmd.Env = o.Env
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	// Ctrl-C is for virt-pki, which then ends this.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	w := &worker{cancel: cancel, answers: make(chan reply), stderr: &tail{}, ended: make(chan struct{})}
	cmd.Stderr = w.stderr
	fail := func(err error) (*worker, error) {
		cancel()
		return nil, fault(NoModule, "it is installed beside virt-pki: go install ./cmd/virt-pki-pkcs11",
			"virt-pki-pkcs11, which speaks with PKCS#11 tokens, cannot be started: %v", err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return fail(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fail(err)
	}
	if err := cmd.Start(); err != nil {
		return fail(err)
	}
	w.in = in
	go func() {
		r := bufio.NewReaderSize(out, maxAnswer)
		for {
			line, err := r.ReadSlice('\n')
			var a reply
			if err == nil {
				a.err = json.Unmarshal(line, &a.answer)
			} else {
				a.err = err
			}
			select {
			case w.answers <- a:
			case <-ctx.Done():
				err = ctx.Err()
			}
			if err != nil {
				break
			}
		}
		w.wait = cmd.Wait()
		close(w.ended)
	}()
	return w, nil
}

// ask sends a request and waits for its answer.
func (w *worker) ask(r Request, limit time.Duration) (Answer, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return Answer{}, err
	}
	defer clear(line)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	sent := make(chan error, 1)
	go func() {
		_, err := w.in.Write(append(line, '\n'))
		sent <- err
	}()
	select {
	case err := <-sent:
		if err != nil {
			return Answer{}, w.lost()
		}
	case <-timer.C:
		w.cancel()
		return Answer{}, w.silent(limit)
	}
	select {
	case a := <-w.answers:
		switch {
		case a.err != nil:
			return Answer{}, w.lost()
		case a.answer.Error != nil:
			return Answer{}, a.answer.Error
		}
		return a.answer, nil
	case <-timer.C:
		w.cancel()
		return Answer{}, w.silent(limit)
	case <-w.ended:
		return Answer{}, w.lost()
	}
}

// silent is the error of a token that does not answer.
func (w *worker) silent(limit time.Duration) error {
	return fault(Gone, "is the token plugged in, and its daemon running?", "the token did not answer within %s", limit)
}

// lost is the error of a program that has ended.
func (w *worker) lost() error {
	w.cancel()
	select {
	case <-w.ended:
	case <-time.After(2 * time.Second):
	}
	reason := ""
	select {
	case <-w.ended:
		if w.wait != nil {
			reason = ": " + w.wait.Error()
		}
	default:
	}
	if said := w.stderr.last(); said != "" {
		reason += ": " + fmt.Sprintf("%.200s", said)
	}
	return fault(Gone, "", "virt-pki-pkcs11, which speaks with the token, has ended%s", reason)
}

// stop ends the program: it ends by itself when its input does, and a second later otherwise.
func (w *worker) stop() {
	_ = w.in.Close()
	select {
	case <-w.ended:
	case <-w.answers: // the end of its output
		select {
		case <-w.ended:
		case <-time.After(time.Second):
		}
	case <-time.After(time.Second):
	}
	w.cancel()
}
