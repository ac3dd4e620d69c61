#!/bin/sh
# tests/certs.sh DIR: the authorities, certificates and keys of the tests of TLS, valid for a day.
#
#   ca.crt      the authority that is trusted; ca2.crt: another of the same name
#   ca/         ca.crt as a directory with hashed names
#   server.*    for localhost, 127.0.0.1 and ::1
#   other.*     for another name; bare.*: for localhost, but in the common name only
#   expired.*   like server.*, until yesterday
#   stranger.*  like server.*, from the other authority; self.*: like server.*, from nobody
#   client.*    for clients; client.pem: with its key; locked.key: its key under "secret"

set -e
cd "$1"

key() {
	openssl ecparam -genkey -name prime256v1 -noout -out "$1.key"
}

authority() {
	key "$1"
	openssl req -x509 -new -key "$1.key" -subj '/CN=coatcheck test authority' -days 1 -out "$1.crt"
}

# certificate NAME AUTHORITY DAYS COMMON-NAME EXTENSION
certificate() {
	key "$1"
	openssl req -new -key "$1.key" -subj "/CN=$4" -out "$1.csr"
	printf '%s\n' "$5" >"$1.ext"
	openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days "$3" \
		-extfile "$1.ext" -out "$1.crt"
}

here='subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1'
{
	authority ca
	authority ca2
	mkdir ca
	cp ca.crt "ca/$(openssl x509 -in ca.crt -noout -subject_hash).0"
	certificate server ca 1 server "$here"
	certificate other ca 1 localhost 'subjectAltName=DNS:other.example'
	certificate bare ca 1 localhost 'basicConstraints=CA:FALSE'
	certificate expired ca -1 server "$here"
	certificate stranger ca2 1 server "$here"
	key self
	openssl req -x509 -new -key self.key -subj /CN=localhost -days 1 -addext "$here" -out self.crt
	certificate client ca 1 client 'extendedKeyUsage=clientAuth'
	cat client.crt client.key >client.pem
	openssl ec -in client.key -aes256 -passout pass:secret -out locked.key
} 2>certs.log || {
	cat certs.log >&2
	exit 1
}
