// Propose the time zone of the browser, which may know the zone of the list by an older name, such as Asia/Calcutta.
{
  const select = document.getElementById("time_zone");
  const button = document.querySelector("[data-browser-zone]");
  const nameOf = (zone) => new Intl.DateTimeFormat("en", zone && { timeZone: zone }).resolvedOptions().timeZone;
  const own = nameOf();
  const isOwn = ({ value }) => {
    try {
      return value && (value === own || nameOf(value) === own);
    } catch {
      return false; // a zone that this browser does not know
    }
  };
  const option = [...select.options].find(isOwn);
  if (option && !select.value) option.selected = true;
  const update = () => { button.hidden = !option || option.selected; };
  update();
  select.addEventListener("change", update);
  button.addEventListener("click", () => {
    option.selected = true;
    update();
    select.focus();
  });
}
