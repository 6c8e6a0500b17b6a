package peer

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CFSSL is a running "cfssl serve".
type CFSSL struct {
	*Process
	// Host is "127.0.0.1:PORT", Config the configuration's file, AuthKey the file with the HMAC key of all profiles.
	Host, Config, AuthKey string
}

// CFSSLOptions say how cfssl is to serve.
type CFSSLOptions struct {
	// CA and CAKey are files of the CA that signs.
	CA, CAKey string
	// Profiles are cfssl's, by name: usages, expiry. Each gets the auth_key.
	Profiles map[string]map[string]any
	// Args are further arguments: -tls-cert, -tls-key, -mutual-tls-ca.
	Args []string
}

// StartCFSSL starts cfssl's signing server on loopback, and waits until it listens.
func StartCFSSL(t testing.TB, o CFSSLOptions) *CFSSL {
	t.Helper()
	Need(t, "cfssl")
	dir := Dir(t)
	const key = "0123456789abcdef0123456789ABCDEF00112233445566778899aabbccddeeff"
	for _, p := range o.Profiles {
		p["auth_key"] = "shared"
	}
	text, err := json.Marshal(map[string]any{
		"signing":   map[string]any{"default": map[string]any{"expiry": "8760h", "usages": []string{"server auth", "client auth"}, "auth_key": "shared"}, "profiles": o.Profiles},
		"auth_keys": map[string]any{"shared": map[string]any{"type": "standard", "key": key}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &CFSSL{Config: filepath.Join(dir, "config.json"), AuthKey: filepath.Join(dir, "auth.key")}
	for name, content := range map[string][]byte{s.Config: text, s.AuthKey: []byte(key + "\n")} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port := FreePort(t, "127.0.0.1")
	s.Host = fmt.Sprintf("127.0.0.1:%d", port)
	s.Process = Place{}.Start(t, append([]string{"cfssl", "serve", "-address", "127.0.0.1", "-port", fmt.Sprint(port), "-ca", o.CA, "-ca-key", o.CAKey,
		"-config", s.Config}, o.Args...)...)
	for range 200 {
		if c, err := net.Dial("tcp", s.Host); err == nil {
			c.Close()
			return s
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("cfssl does not come up:\n%s", s.Log())
	return nil
}
