package ca

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/virt-pki/virt-pki/pkg/remote"
	"github.com/virt-pki/virt-pki/pkg/token"
)

// A Place says where an authority's key is. The zero value is its directory: private/cakey.pem. It holds no secrets.
type Place struct {
	// Token is the URI of a key in a PKCS#11 token (RFC 7512).
	Token string `json:"token,omitempty"`
	// Remote is a server that signs.
	Remote *RemotePlace `json:"remote,omitempty"`
}

// A RemotePlace says where certificates are signed, and which files prove who asks.
type RemotePlace struct {
	// URL is cfssl://HOST:PORT.
	URL string `json:"url"`
	// AuthKey is the file with the HMAC key; CA, Cert and Key are those of TLS, "" where there is none. All are absolute.
	AuthKey string `json:"auth_key"`
	CA      string `json:"ca,omitempty"`
	Cert    string `json:"cert,omitempty"`
	Key     string `json:"key,omitempty"`
	// Timeout limits a request ("30s"); "": remote.DefaultTimeout.
	Timeout string `json:"timeout,omitempty"`
}

// placeFile says where the key is when it is not in the directory.
const placeFile = "signer.json"

// placeSchema is the schema of signer.json.
const placeSchema = 1

// placeText is signer.json.
type placeText struct {
	Schema int `json:"schema"`
	Place
}

// InDirectory reports whether the key is in the authority's directory.
func (p Place) InDirectory() bool { return p.Token == "" && p.Remote == nil }

// String says where, in half a line.
func (p Place) String() string {
	switch {
	case p.Token != "":
		return "in the token " + p.Token
	case p.Remote != nil:
		return "with " + p.Remote.URL
	}
	return keyFile
}

// check says what is wrong with a place.
func (p Place) check() error {
	switch {
	case p.Token != "" && p.Remote != nil:
		return errors.New("both a token and a remote signer")
	case p.Token != "":
		u, err := token.ParseURI(p.Token)
		if err != nil {
			return fmt.Errorf("the token's URI: %w", err)
		}
		if u.PINValue != nil {
			return errors.New("the token's URI holds a PIN, which does not belong there")
		}
	case p.Remote != nil:
		if _, err := remote.ParseURL(p.Remote.URL); err != nil {
			return fmt.Errorf("the signer %q: %w", p.Remote.URL, err)
		}
		if _, err := p.Remote.limit(); err != nil {
			return err
		}
		for _, f := range []string{p.Remote.AuthKey, p.Remote.CA, p.Remote.Cert, p.Remote.Key} {
			if f != "" && !filepath.IsAbs(f) {
				return fmt.Errorf("the file %q is not absolute", f)
			}
		}
		if (p.Remote.Cert == "") != (p.Remote.Key == "") {
			return errors.New("a TLS certificate and its key go together")
		}
	}
	return nil
}

// limit gives the time limit of a request.
func (r RemotePlace) limit() (time.Duration, error) {
	if r.Timeout == "" {
		return remote.DefaultTimeout, nil
	}
	d, err := time.ParseDuration(r.Timeout)
	if err != nil || d < 100*time.Millisecond || d > time.Hour {
		return 0, fmt.Errorf("the time limit %q is none from 100ms to 1h", r.Timeout)
	}
	return d, nil
}

// UsesTLS reports whether TLS is spoken: when there is a file for it.
func (r RemotePlace) UsesTLS() bool { return r.CA != "" || r.Cert != "" }

// Client reads the files and makes a client. now gives the time.
func (r RemotePlace) Client(now func() time.Time) (*remote.Client, error) {
	u, err := remote.ParseURL(r.URL)
	if err != nil {
		return nil, fmt.Errorf("the signer %q: %w", r.URL, err)
	}
	o := remote.Options{TLS: r.UsesTLS(), Now: now}
	if o.Timeout, err = r.limit(); err != nil {
		return nil, err
	}
	text, err := readFile(r.AuthKey)
	if err != nil {
		return nil, fmt.Errorf("reading the HMAC key for the signer: %w", err)
	}
	defer clear(text)
	if o.AuthKey, err = remote.ParseAuthKey(text); err != nil {
		return nil, fmt.Errorf("reading %q: %w", r.AuthKey, err)
	}
	for _, f := range []struct {
		name string
		into *[]byte
	}{{r.CA, &o.CA}, {r.Cert, &o.Cert}, {r.Key, &o.Key}} {
		if f.name != "" {
			if *f.into, err = readFile(f.name); err != nil {
				return nil, fmt.Errorf("reading what TLS to the signer needs: %w", err)
			}
		}
	}
	return remote.NewClient(u, o)
}

// marshal gives signer.json.
func (p Place) marshal() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // a URI is full of &
	e.SetIndent("", "  ")
	err := e.Encode(placeText{placeSchema, p})
	return text.Bytes(), err
}

// unmarshalPlace reads signer.json.
func unmarshalPlace(text []byte) (Place, error) {
	var version struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return Place{}, err
	}
	if version.Schema != placeSchema {
		return Place{}, fmt.Errorf("schema %d is not one that this program knows: %d", version.Schema, placeSchema)
	}
	var t placeText
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil {
		return Place{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Place{}, errors.New("text after the JSON object")
	}
	if t.InDirectory() {
		return Place{}, errors.New("neither a token nor a remote signer")
	}
	return t.Place, t.check()
}

// Place gives where the key is, by the directory.
func (a *Authority) Place() (Place, error) {
	if a.dir == "" {
		return Place{}, nil
	}
	path := filepath.Join(a.home(), placeFile)
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Place{}, nil
	}
	if err != nil {
		return Place{}, fmt.Errorf("finding the CA key: %w", err)
	}
	p, err := unmarshalPlace(text)
	if err != nil {
		return Place{}, fmt.Errorf("finding the CA key: %w", &PathError{path, err.Error(), err, ""})
	}
	return p, nil
}

// Use unlocks the authority with a key from elsewhere: a token, or a file that is kept apart. Close closes the key, too, if it
// is an io.Closer.
func (a *Authority) Use(key crypto.Signer) error {
	if err := a.setKey(key); err != nil {
		return err
	}
	a.owned, _ = key.(io.Closer)
	return nil
}
