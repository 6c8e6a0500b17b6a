package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// TestVirshAgreesAboutSASL logs in at real daemons with a real password database, with virsh and with Dial.
func TestVirshAgreesAboutSASL(t *testing.T) {
	peer.Need(t, "libvirtd", "virsh", "saslpasswd2")
	ca := testpki.NewCA(t)
	dir := flat(t, ca, ca.Server("localhost"), ca.Client("admin"))
	auth := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "&authfile=" + p
	}
	host := "[auth-libvirt-localhost]\ncredentials=a\n[credentials-a]\n"
	good := auth("good", host+"authname=fred\npassword=secret\n")
	wrong := auth("wrong", "[credentials-a]\nauthname=fred\npassword=wrong\n[auth-libvirt-default]\ncredentials=a\n")
	unknown := auth("unknown", host+"authname=joe\npassword=secret\n")
	username := auth("username", host+"username=fred\npassword=secret\n")
	nameOnly := auth("name", host+"authname=fred\n")
	missing := auth("missing", "[auth-libvirt-localhost]\ncredentials=a\n")
	bad := auth("bad", "bad\n")
	const tls, tcp, unix = "tls", "tcp", "unix"
	type try struct{ transport, params, want string }
	for _, c := range []struct {
		mechanisms string
		conf       []string
		tries      []try
	}{
		{"plain", nil, []try{{tls, good, ""}, {tls, "", "sasl-no-credentials"}, {tls, wrong, "sasl-refused"}, {tls, unknown, "sasl-refused"}, {tls, username, "sasl-no-credentials"},
			{tls, nameOnly, "sasl-refused"}, {tls, missing, "auth-conf-unusable"}, {tls, bad, "auth-conf-unusable"}, {tls, "&authfile=/nosuch", "auth-conf-unusable"},
			{tcp, good, "sasl-not-ready"}, {unix, good, ""}}},
		{"scram-sha-1", nil, []try{{tls, good, ""}, {tls, wrong, "sasl-refused"}, {tls, unknown, "sasl-refused"}, {tls, nameOnly, "sasl-refused"}, {tls, "", "sasl-no-credentials"}, {unix, good, ""}}},
		{"scram-sha-256 scram-sha-1 plain anonymous", nil, []try{{tls, good, ""}, {tls, good + "&auth=sasl.PLAIN", ""}, {tls, good + "&auth=sasl.SCRAM-SHA-1", ""},
			{tls, good + "&auth=sasl.plain", "sasl-mechanism-missing"}, {tls, good + "&auth=sasl.LOGIN", "sasl-mechanism-missing"}, {tls, "&auth=sasl.ANONYMOUS", ""}, {tls, good + "&auth=sasl", ""}}},
		{"scram-sha-512", nil, []try{{tls, good, ""}, {tls, wrong, "sasl-refused"}, {tcp, good, "sasl-not-ready"}}},
		{"scram-sha-384 scram-sha-224", nil, []try{{tls, good, ""}}},
		{"nosuch", nil, []try{{tls, good, "sasl-not-ready"}}},
		{"scram-sha-256", []string{`sasl_allowed_username_list = ["joe"]`}, []try{{tls, good, "sasl-refused"}}},
		{"scram-sha-256", []string{`sasl_allowed_username_list = ["fred"]`}, []try{{tls, good, ""}}},
	} {
		tcpPort := peer.FreePort(t, "127.0.0.1")
		d := peer.Start(t, peer.Options{Dir: dir, Place: peer.Place{Env: []string{peer.SASL(t, c.mechanisms, map[string]string{"fred": "secret"})}},
			Conf: append([]string{`auth_tls = "sasl"`, `auth_tcp = "sasl"`, `auth_unix_rw = "sasl"`, "listen_tcp = 1", fmt.Sprintf("tcp_port = \"%d\"", tcpPort)}, c.conf...)}).MustBeReady(t)
		for _, try := range c.tries {
			text := d.URIFor("localhost", "pkipath="+dir) + try.params
			switch try.transport {
			case tcp:
				text = fmt.Sprintf("test+tcp://localhost:%d/default?x=y%s", tcpPort, try.params)
			case unix:
				text = "test+unix:///default?socket=" + url.QueryEscape(d.Socket) + try.params
			}
			t.Run(fmt.Sprintf("%s %s %s", c.mechanisms, try.transport, strings.ReplaceAll(try.params, dir, "")), func(t *testing.T) {
				r, err := Dial(context.Background(), text, Options{URI: uri.Options{Settings: uri.Fixed{}}, At: time.Now()})
				if err != nil || r.Cause != try.want || (r.Outcome == finding.Connected) != (try.want == "") {
					t.Errorf("%s %v, want %q", summary(r), err, try.want)
				}
				if try.want != "" && r.Outcome != finding.AuthFails {
					t.Errorf("outcome %s", r.Outcome)
				}
				v := peer.Virsh(t, text)
				ls := strings.Split(strings.TrimSpace(v.Stderr), "\n")
				if said := strings.TrimPrefix(ls[len(ls)-1], "error: "); (v.Exit == 0) != (try.want == "") || try.want != "" && said != r.LibvirtMessage {
					t.Errorf("\nvirsh: %v\n ours: %q", v, r.LibvirtMessage)
				}
			})
		}
		// What we lack is named; virsh gets in.
		if c.mechanisms == "plain" {
			o := Options{URI: uri.Options{Settings: uri.Fixed{}}, At: time.Now(), Ask: func(prompt string, echo bool) (string, error) {
				if echo != strings.Contains(prompt, "name") {
					t.Errorf("%q: echo %v", prompt, echo)
				}
				return map[bool]string{true: "fred", false: "secret"}[echo], nil
			}}
			if r, err := Dial(context.Background(), d.URIFor("localhost", "pkipath="+dir), o); err != nil || r.Outcome != finding.Connected {
				t.Errorf("with answers: %s %v", summary(r), err)
			}
			o.Ask = func(string, bool) (string, error) { return "", errors.New("cancelled") }
			if r, err := Dial(context.Background(), d.URIFor("localhost", "pkipath="+dir), o); err != nil || r.Cause != "sasl-no-credentials" {
				t.Errorf("cancelled: %s %v", summary(r), err)
			}
		}
	}
}

// TestAServerThatDoesNotKnowThePassword pretends: its proof is wrong, or its demands are.
func TestAServerThatDoesNotKnowThePassword(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "auth.conf")
	if err := os.WriteFile(path, []byte("[auth-libvirt-default]\ncredentials=a\n[credentials-a]\nauthname=fred\npassword=secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		answer func(n int, first string) (complete bool, data string)
		want   string
	}{
		{"a proof that is none", func(n int, first string) (bool, string) {
			if n == 0 {
				return false, "r=" + nonce(first) + "abc,s=c2FsdA==,i=4096"
			}
			return true, "v=c2FsdA=="
		}, "auth-fails sasl-server-unproven "},
		{"no proof", func(n int, first string) (bool, string) {
			if n == 0 {
				return false, "r=" + nonce(first) + "abc,s=c2FsdA==,i=4096"
			}
			return true, ""
		}, "auth-fails sasl-server-unproven *"},
		{"content at once", func(int, string) (bool, string) { return true, "" }, "auth-fails sasl-server-unproven *"},
		{"endless hashing", func(_ int, first string) (bool, string) {
			return false, "r=" + nonce(first) + "abc,s=c2FsdA==,i=2000000000"
		}, "auth-fails sasl-server-unproven "},
		{"a number that is none", func(_ int, first string) (bool, string) {
			return false, "r=" + nonce(first) + "abc,s=c2FsdA==,i=99999999999999999999"
		}, "auth-fails sasl-server-unproven "},
		{"nonsense", func(int, string) (bool, string) { return false, "\x00\xff" }, "auth-fails sasl-server-unproven "},
		{"steps without end", func(n int, first string) (bool, string) {
			if n == 0 {
				return false, "r=" + nonce(first) + "abc,s=c2FsdA==,i=1"
			}
			return false, ""
		}, "auth-fails sasl-server-unproven *"},
	} {
		t.Run(c.name, func(t *testing.T) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				server := NewClient(far, 0)
				first := ""
				for n := 0; ; n++ {
					h, payload, err := server.receive()
					if err != nil {
						return
					}
					d := &decoder{b: payload}
					var e encoder
					if h.proc == procAuthSASLStart {
						d.string()
					}
					d.int32()
					if data := d.chars(maxSASLData); n == 0 {
						first = string(data)
					}
					complete, data := c.answer(n, first)
					e.int32(map[bool]int32{true: 1}[complete])
					e.int32(0)
					e.chars([]byte(data))
					if _, err := far.Write(message(programRemote, h.proc, typeReply, h.serial, 0, e.b)); err != nil {
						return
					}
				}
			}()
			defer near.Close()
			a := &attempt{&Result{}, Options{ReadFile: readFile, Env: []string{"LIBVIRT_AUTH_FILE=" + path}}}
			s, ok := a.saslClient("SCRAM-SHA-256")
			if !ok {
				t.Fatal(summary(*a.Result))
			}
			begin := time.Now()
			got := a.saslExchange(context.Background(), NewClient(near, 0), s)
			if prefix, open := strings.CutSuffix(c.want, "*"); got || summary(*a.Result) != c.want && !(open && strings.HasPrefix(summary(*a.Result), prefix)) {
				t.Errorf("%v %s", got, summary(*a.Result))
			}
			if d := time.Since(begin); d > time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
}

func nonce(first string) string {
	_, n, _ := strings.Cut(first, "r=")
	return n
}

// TestSCRAMWithTheExamplesOfTheStandards takes the exchanges of RFC 5802 section 5 and RFC 7677 section 3.
func TestSCRAMWithTheExamplesOfTheStandards(t *testing.T) {
	for _, c := range []struct{ mechanism, nonce, server, final, proof string }{
		{"SCRAM-SHA-1", "fyko+d2lbbFgONRv9qkxdawL", "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		{"SCRAM-SHA-256", "rOprNGfwEbeRWgbNEkqO", "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		client, err := scram.HashGeneratorFcn(scramHashes[c.mechanism]).NewClient("user", "pencil", "")
		if err != nil {
			t.Fatal(err)
		}
		conversation := client.WithNonceGenerator(func() string { return c.nonce }).NewConversation()
		first, err := conversation.Step("")
		if err != nil || first != "n,,n=user,r="+c.nonce {
			t.Errorf("%q %v", first, err)
		}
		if got, err := conversation.Step(c.server); err != nil || got != c.final {
			t.Errorf("%q %v", got, err)
		}
		if _, err := conversation.Step(c.proof); err != nil || !conversation.Valid() {
			t.Errorf("%v", err)
		}
	}
}
