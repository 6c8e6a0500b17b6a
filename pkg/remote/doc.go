// Package remote speaks cfssl's signing API, as a client and as a server: the CA's key stays on one machine, and other
// operators' machines have their certificates signed there.
//
// [ParseURL] and [NewClient] give a [Client], which has certificate requests signed by "cfssl serve" or by another virt-pki's
// "ca serve"; [Serve] is that server. Requests are authenticated with HMAC-SHA-256 over a shared key ([ParseAuthKey]), and the
// connection is TLS with certificates on both ends, or plain.
//
// The wire format is that of cfssl v1.6.5 (api/v1/cfssl/info and authsign; package auth of cfssl makes and checks the tokens).
// cfssl's own client and handlers are not used: they wait for ever for a server that is silent, read answers and requests of any
// size, take an empty HMAC key and take the same request again and again. Here every request has a time limit and a size limit,
// keys below 128 bits are refused, and requests carry a time and a random number under the HMAC, so that our server takes
// none twice; cfssl's server ignores both.
//
// The package judges no certificates: what comes back is the bytes, and package ca compares them with what was asked. It
// signs nothing: the server is given a [Signer]. Confirmed with cfssl v1.6.5 as client and as server.
package remote
