"""Passwords in commands are found by where they stand, and named without their value."""

import time

import pytest

from jobs_app.secrets.command_secrets import plain_secrets, secrets_in_command

SECRET = "hunter2aB"


@pytest.mark.parametrize(
    "command, names",
    [
        ("mysqldump -uroot -pHUNTER shop | gzip > /b/shop.gz", ["-p of mysqldump"]),
        ("/usr/bin/mysql --password=HUNTER -e 'select 1'", ["--password"]),
        ("docker exec db mariadb-dump -p'HUNTER' shop", ["-p of mariadb-dump"]),
        ("curl -u ann:HUNTER https://example.org", ["-u of curl"]),
        ("curl -fsSu ann:HUNTER https://example.org", ["-u of curl"]),
        ("curl -uann:HUNTER https://example.org", ["-u of curl"]),
        ("curl --user 'ann:HUNTER' https://example.org", ["--user of curl"]),
        ("curl --user=ann:HUNTER https://example.org", ["--user of curl"]),
        ("git clone https://ann:HUNTER@example.org/x", ["an address"]),
        ("wget 'https://example.org/x?token=HUNTER&a=1'", ["an address", "token"]),
        ("PGPASSWORD=HUNTER psql -c 'select 1'", ["PGPASSWORD"]),
        ("cd /srv && env DB_PASS=HUNTER ./run", ["DB_PASS"]),
        ("export API_KEY='HUNTER'\n./run", ["API_KEY"]),
        ("docker run -e MYSQL_ROOT_PASSWORD=HUNTER mysql", ["MYSQL_ROOT_PASSWORD"]),
        ("helm upgrade x --set=auth.password=HUNTER", ["auth.password"]),
        ("psql 'host=db user=ann password=HUNTER'", ["password"]),
        ("tool --api-key HUNTER --verbose", ["--api-key"]),
        ("java -jar x.jar -password HUNTER", ["-password"]),
        ("curl -H 'Authorization: Bearer HUNTER' https://example.org", ["Authorization"]),
        ('curl --header "X-Api-Key: HUNTER" https://example.org', ["X-Api-Key"]),
        ("curl -H'X-Api-Key: HUNTER' https://example.org", ["X-Api-Key"]),
        ('curl -d \'{"password": "HUNTER"}\' https://example.org', ["password"]),
        ("sshpass -p HUNTER ssh host true", ["-p of sshpass"]),
        ("redis-cli -a HUNTER ping", ["-a of redis-cli"]),
        ("docker login -u ann -p HUNTER", ["-p of login"]),
        ("smbclient //h/s -U ann%HUNTER -c ls", ["-U of smbclient"]),
        ("openssl enc -aes256 -pass pass:HUNTER -in x", ["pass: of openssl"]),
        ("openssl enc -aes256 -k HUNTER -in x -out y", ["-k of openssl"]),
        ("openssl aes-256-cbc -K HUNTER -iv 00 < x", ["-K of openssl"]),
        ("sqlplus -s ann/HUNTER@db @/srv/x.sql", ["the password of sqlplus"]),
        (
            "/opt/oracle/bin/sqlplus 'ann/\"HUNTER\"@//db:1521/shop' as sysdba",
            ["the password of sqlplus"],
        ),
        ("expdp userid=ann/HUNTER full=y dumpfile=x.dmp", ["the password of expdp"]),
        ("sqlldr ann/HUNTER control=load/x.ctl", ["the password of sqlldr"]),
        ("echo HUNTER | sudo -S systemctl restart x", ["the input of sudo"]),
        ("echo -n 'HUNTER' | sudo -u ann -kS true", ["the input of sudo"]),
        ("printf '%s\\n' HUNTER | sudo --stdin true", ["the input of sudo"]),
        ("sudo -S true <<< HUNTER", ["the input of sudo"]),
        ("echo HUNTER |\n docker login -u ann --password-stdin", ["the input of docker"]),
        ("echo 'ann:HUNTER' | sudo chpasswd", ["the input of chpasswd"]),
        ("echo HUNTER | gpg --batch --passphrase-fd 0 -c x", ["the input of gpg"]),
        ("echo HUNTER | openssl enc -aes256 -pass stdin", ["the input of openssl"]),
        ("sh -c 'echo HUNTER | sudo -S true'", ["the input of sudo"]),
        ("7z a -pHUNTER x.7z y", ["-p of 7z"]),
        ("wget 'https://example.org/x?page=2&access_token=HUNTER'", ["an address", "access_token"]),
        ("zip -P HUNTER x.zip x", ["-P of zip"]),
        ("sh -c 'mysql -pHUNTER < x.sql'", ["-p of mysql"]),
        ("ssh db \"sh -c 'PGPASSWORD=HUNTER psql'\"", ["PGPASSWORD"]),
        ("aws configure set aws_access_key_id AKIAIOSFODNN7EXAMPLE", ["an AWS access key"]),
        ("AWS_SECRET_ACCESS_KEY=HUNTER aws s3 ls", ["AWS_SECRET_ACCESS_KEY"]),
        ("echo ghp_0123456789abcdefghijklmnopqrstuvwxyz", ["a GitHub token"]),
        ("A_TOKEN=HUNTER x; B_TOKEN=HUNTER y; A_TOKEN=HUNTER z", ["A_TOKEN", "B_TOKEN"]),
    ],
)
def test_a_secret_in_a_command_is_named(command: str, names: list[str]) -> None:
    found = secrets_in_command(command.replace("HUNTER", SECRET))

    assert sorted(found) == sorted(names)
    assert SECRET not in str(found)


@pytest.mark.parametrize(
    "command",
    [
        'mysqldump -p"$DB_PASSWORD" shop',
        "mysqldump --defaults-file=/etc/backup.cnf shop",
        "mysql -p -e 'select 1'",
        "mkdir -p /srv/data && cp -pr a b",
        'curl -u "ann:$TOKEN" https://example.org',
        "curl -u ann https://example.org",
        'curl -H "Authorization: Bearer $TOKEN" https://example.org',
        "curl -H 'Accept: application/json' https://example.org",
        'git clone "https://x:${TOKEN}@example.org/x"',
        'git clone "https://x:$(cat /run/token)@example.org/x"',
        'PGPASSWORD="$DB" psql',
        "PGPASSWORD=$(cat /run/secrets/pg) psql",
        "TOKEN=`cat /run/token` ./run",
        "PWD=/srv ./run; OLDPWD=/x true",
        "PASSWORD_FILE=/run/secrets/pg ./run",
        "tool --password-file /run/pw --password-stdin --token-ttl 5m",
        "tool --password --verbose",
        "adduser --system --disabled-password ann",
        "tool --token /run/token",
        "tool --token-file=/run/token --no-password",
        "docker run --secret id_rsa image",
        "docker run -p 80:80 image",
        "aws s3api list-objects --starting-token abcdef",
        "curl 'https://example.org/x?page_token=abcdef&nextPageToken=b&continuation-token=c'",
        "7z a x -pthread",
        "gcc -pthread -o mysql x.c && g++ -o mysql -pthread y.cc",
        'openssl enc -aes256 -k "$KEY" -in x; openssl enc -kfile /run/key -in x',
        "openssl req -new -key x.pem -out y -subj /CN=example.org -passin file:/run/pw",
        "openssl enc -aes256 -pass env:KEY -in x",
        "sqlplus / as sysdba @/srv/x.sql",
        "sqlplus -s /nolog @/srv/x.sql; sqlplus ann@db @sql/x.sql",
        'sqlplus -s "ann/$PW@db"; sqlldr userid=/ control=load/x.ctl',
        'echo "$PW" | sudo -S true; cat /run/pw | sudo -S true',
        "echo line | sudo tee -a /etc/x; echo a/b@c",
        "echo data | sudo curl -sS -d @- https://example.org",
        "echo started || sudo -S true; echo started; sudo -S true < /run/pw",
        "printf '%s' \"$PW\" | docker login -u ann --password-stdin",
        "printf '%s:%s' ann \"$PW\" | chpasswd; chpasswd < /run/pw",
        "aws secretsmanager get-secret-value --secret-id prod/db",
        "sed -i 's/^password=.*/password=changed/' x.conf",
        "grep -r token=abc /srv",
        "jq '{token: .access_token}' x.json",
        "# mysql -pHUNTER\ntrue",
        "ps -u ann; sort -u x; id -u",
        "python -c 'print(1)'; tar -czp x",
        "rsync -a --password-file=/etc/rsync.pw a b::c",
        "vault kv get -field=password secret/db",
        "echo \"it's",
        "| sudo -S true",
        "<<< x",
    ],
)
def test_what_is_filled_in_or_is_no_secret_is_not_named(command: str) -> None:
    assert secrets_in_command(command) == []


def test_arguments_and_command_of_a_job_are_two_lists() -> None:
    kwargs = {"command": "redis-cli -a hunter2aB ping", "env": {"TOKEN": "hunter2aB"}}

    assert plain_secrets("shell", kwargs) == (["kwargs.env.TOKEN"], ["-a of redis-cli"])
    assert plain_secrets("shop.mail", {"command": kwargs["command"]}) == ([], [])


@pytest.mark.parametrize(
    "text",
    [
        '"\\"',
        "'\"",
        "a=",
        "--a=",
        "x:",
        "(",
        "password=",
        "\\",
        "-H ",
        "echo x|sudo -S ",
        "sqlplus a/",
    ],
)
def test_a_long_command_takes_linear_time(text: str) -> None:
    command = text * (65_536 // len(text))

    began = time.process_time()
    secrets_in_command(command)

    assert time.process_time() - began < 1.5
