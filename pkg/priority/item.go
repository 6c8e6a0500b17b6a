package priority

import (
	"errors"
	"fmt"
)

// An Item is one string in the output of "virt-pki priority --json". Its fields are a contract: more may be added.
type Item struct {
	String string `json:"string"`
	// OK says that GnuTLS accepts the string.
	OK bool `json:"ok"`
	// Error is GnuTLS's text, ErrorOffset the offset it reports for a syntax error.
	Error       *string `json:"error"`
	ErrorOffset *int    `json:"error_offset"`
	// ErrorReason and Hints are ours.
	ErrorReason string   `json:"error_reason,omitempty"`
	Hints       []string `json:"hints,omitempty"`
	// SetError is GnuTLS's text when it accepts the string but cannot use it for a session: libvirt fails then too.
	SetError *string `json:"set_error,omitempty"`

	Protocols    []string    `json:"protocols"`
	CipherSuites []ItemSuite `json:"cipher_suites"`
	Ciphers      []string    `json:"ciphers"`
	MACs         []string    `json:"macs"`
	KeyExchanges []string    `json:"key_exchanges"`
	Groups       []string    `json:"groups"`
	Signatures   []string    `json:"signatures"`

	ClientCertificateTypes []string     `json:"client_certificate_types"`
	ServerCertificateTypes []string     `json:"server_certificate_types"`
	GnuTLS                 string       `json:"gnutls"`
	Resolved               string       `json:"resolved,omitempty"` // what an @KEYWORD led to
	Profile                string       `json:"profile,omitempty"`
	SecurityLevel          string       `json:"security_level,omitempty"`
	VerifyFlags            uint32       `json:"verify_flags,omitempty"`
	Renegotiation          string       `json:"renegotiation,omitempty"`
	Flags                  *Flags       `json:"flags,omitempty"`
	Ignored                []string     `json:"ignored,omitempty"`
	ClientHello            *ClientHello `json:"client_hello,omitempty"`
}

// An ItemSuite is a cipher suite: its number in four hexadecimal digits and GnuTLS's name.
type ItemSuite struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// NewItem expands a string and gives it in the form of the command's JSON. Lists are never null.
func NewItem(priority string, o Options) Item {
	x, err := Expand(priority, o)
	it := Item{String: priority, GnuTLS: o.GnuTLS.String(), Protocols: []string{}, CipherSuites: []ItemSuite{}, Ciphers: []string{},
		MACs: []string{}, KeyExchanges: []string{}, Groups: []string{}, Signatures: []string{},
		ClientCertificateTypes: []string{}, ServerCertificateTypes: []string{}}
	var e *Error
	if errors.As(err, &e) {
		text := e.Text()
		it.Error, it.ErrorReason, it.Hints = &text, e.Reason, e.Hints()
		if e.Code == InvalidRequest {
			it.ErrorOffset = &e.Offset
		}
		return it
	}
	it.OK = true
	if x.SetError != nil {
		text := x.SetError.Text()
		it.SetError = &text
	}
	for _, s := range x.CipherSuites {
		it.CipherSuites = append(it.CipherSuites, ItemSuite{fmt.Sprintf("%04x", s.ID), s.Name})
	}
	it.Protocols, it.Ciphers, it.MACs, it.KeyExchanges = x.Protocols, x.Ciphers, x.MACs, x.KeyExchanges
	it.Groups, it.Signatures = x.Groups, x.Signatures
	it.ClientCertificateTypes, it.ServerCertificateTypes = x.ClientCertificateTypes, x.ServerCertificateTypes
	if x.Resolved != priority {
		it.Resolved = x.Resolved
	}
	it.Profile, it.SecurityLevel, it.VerifyFlags = x.Profile.String(), x.Level.String(), x.VerifyFlags
	it.Renegotiation, it.Flags, it.Ignored = x.Renegotiation.String(), &x.Flags, x.Ignored
	if h, err := x.ClientHello(); err == nil {
		it.ClientHello = h
	}
	return it
}
