-- Reports the address of a log-in to orbsd. Dovecot runs it as a user database (see dovecot-lua.conf), which no user is in. A log-in
-- waits for orbsd at most half a second, and succeeds if orbsd does not answer; then the next log-ins do not wait for ten seconds.
local url = "http://127.0.0.1:8053/v1/zones/logins.orbs.example/logins"
-- The file has one line, which only Dovecot may read: Authorization: Bearer orbsd_…
local token = "/etc/dovecot/orbsd-token"
local client, authorization
local paused_until = 0

function script_init()
  local file = io.open(token)
  authorization = file and (file:read("l") or ""):match("^Authorization:%s*(.+)$")
  if file then file:close() end
  if not authorization then
    dovecot.i_error("report-login: " .. token .. " cannot be read or has no line `Authorization: Bearer orbsd_…`; no log-in is reported")
    return 0
  end
  client = dovecot.http.client({ request_absolute_timeout_msecs = 500, max_attempts = 1 })
  return 0
end

function script_deinit() end

local function report(address)
  local request = client:request({ url = url, method = "POST" })
  request:add_header("Authorization", authorization)
  request:add_header("Content-Type", "application/json")
  request:set_payload('{"addresses": ["' .. address .. '"]}')
  return request:submit():status()
end

function auth_userdb_lookup(request)
  local service, address = request.service, request.remote_ip
  -- Other services look users up without a log-in, such as LMTP before it delivers a message.
  if client and (service == "imap" or service == "pop3") and address and os.time() >= paused_until then
    local sent, status = pcall(report, address)
    if not sent or status ~= 200 then
      dovecot.i_warning("report-login: orbsd did not accept the log-in from " .. address .. ": " .. tostring(status))
    end
    -- 5xx: orbsd cannot accept it. From 9000 on: there was no answer.
    if not sent or status >= 500 then paused_until = os.time() + 10 end
  end
  return dovecot.auth.USERDB_RESULT_USER_UNKNOWN, "no user is here"
end
