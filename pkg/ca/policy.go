package ca

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A Policy says for whom an authority issues and how. The zero value is the default: every measured libvirt, ECDSA P-256,
// one year.
type Policy struct {
	// Libvirt are the versions that must accept every certificate. Empty: verify.Measured.
	Libvirt []verify.Version
	// Key is the algorithm of identities' keys. Empty: ECDSA P-256.
	Key certs.KeyAlgorithm
	// Lifetime is how long identities are good for. Zero: 365 days.
	Lifetime time.Duration
	// StrictKeyUsage writes keyUsage as RFC 8813 wants it also where a libvirt before 11.6 must accept it; such a
	// combination is refused.
	StrictKeyUsage bool
}

// defaultLifetime is how long identities are good for: the default of certtool, whose templates libvirt documents.
const defaultLifetime = 365 * 24 * time.Hour

// Since gives the versions that must accept a certificate when the oldest libvirt among the peers is known: that one and
// every measured one that is not older.
func Since(oldest verify.Version) []verify.Version {
	versions := []verify.Version{oldest}
	for _, v := range verify.Measured() {
		if v != oldest && v.AtLeast(oldest.Major, oldest.Minor) {
			versions = append(versions, v)
		}
	}
	return versions
}

// withDefaults fills what is zero.
func (p Policy) withDefaults() Policy {
	if len(p.Libvirt) == 0 {
		p.Libvirt = verify.Measured()
	}
	if p.Key == "" {
		p.Key = certs.ECDSAP256
	}
	if p.Lifetime == 0 {
		p.Lifetime = defaultLifetime
	}
	return p
}

// wantsKeyEncipherment reports whether some version demands keyEncipherment of every key type.
func (p Policy) wantsKeyEncipherment() bool {
	for _, v := range p.Libvirt {
		if !v.NoKeyEncipherment {
			return true
		}
	}
	return false
}

// policySchema is the schema of authority.json.
const policySchema = 1

// policyFile is authority.json.
type policyFile struct {
	Schema         int                `json:"schema"`
	Libvirt        []string           `json:"libvirt"`
	Key            certs.KeyAlgorithm `json:"key"`
	Lifetime       string             `json:"lifetime"`
	StrictKeyUsage bool               `json:"strict_key_usage,omitempty"`
}

// marshal gives authority.json.
func (p Policy) marshal() ([]byte, error) {
	p = p.withDefaults()
	f := policyFile{Schema: policySchema, Key: p.Key, Lifetime: p.Lifetime.String(), StrictKeyUsage: p.StrictKeyUsage}
	for _, v := range p.Libvirt {
		text, err := versionText(v)
		if err != nil {
			return nil, err
		}
		f.Libvirt = append(f.Libvirt, text)
	}
	text, err := json.MarshalIndent(f, "", "  ")
	return append(text, '\n'), err
}

// versionText gives a text from which verify.ParseVersion reads the same version.
func versionText(v verify.Version) (string, error) {
	for _, text := range []string{v.String(), v.String() + "-upstream"} {
		if got, err := verify.ParseVersion(text); err == nil && got == v {
			return text, nil
		}
	}
	return "", fmt.Errorf("libvirt version %v has no text", v)
}

// unmarshalPolicy reads authority.json; what it does not know is an error, so that nothing is silently left undone.
func unmarshalPolicy(text []byte) (Policy, error) {
	var version struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return Policy{}, err
	}
	if version.Schema > policySchema {
		return Policy{}, fmt.Errorf("schema %d is newer than this program, which knows schemas up to %d", version.Schema, policySchema)
	}
	var f policyFile
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Policy{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Policy{}, errors.New("text after the JSON object")
	}
	if f.Schema != policySchema {
		return Policy{}, fmt.Errorf("schema %d is unknown", f.Schema)
	}
	p := Policy{StrictKeyUsage: f.StrictKeyUsage}
	var err error
	if p.Key, err = certs.ParseKeyAlgorithm(string(f.Key)); err != nil {
		return Policy{}, err
	}
	if p.Lifetime, err = time.ParseDuration(f.Lifetime); err != nil || p.Lifetime <= 0 {
		return Policy{}, fmt.Errorf("lifetime %q is no duration above zero, such as 8760h", f.Lifetime)
	}
	if len(f.Libvirt) == 0 {
		return Policy{}, errors.New("no libvirt version")
	}
	for _, text := range f.Libvirt {
		v, err := verify.ParseVersion(text)
		if err != nil {
			return Policy{}, err
		}
		p.Libvirt = append(p.Libvirt, v)
	}
	return p, nil
}
