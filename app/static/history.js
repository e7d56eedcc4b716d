// Group the events by the days of the browser's time zone, unless the server knows a zone. It groups them by those of UTC.
if (document.body.dataset.moment) {
  const list = document.getElementById("days");
  const locale = `${document.documentElement.lang.replace(/^en$/, "en-GB")}-u-ca-gregory-nu-latn`;
  const [today, yesterday] = [0, 1].map((back) => {
    const at = new Date();
    at.setDate(at.getDate() - back);
    return at.toDateString();
  });
  const heading = (at) => {
    const name = { [today]: list.dataset.today, [yesterday]: list.dataset.yesterday }[at.toDateString()];
    return name ?? at.toLocaleDateString(locale, { dateStyle: "full" });
  };
  const sections = [...list.querySelectorAll(".day")];
  const events = [...list.querySelectorAll(".day > ul > li")];
  let section;
  for (const event of events) {
    const name = heading(new Date(event.querySelector("time").dateTime));
    if (section?.firstElementChild.textContent !== name) {
      section = sections[0].cloneNode(true);
      section.querySelector("h2").textContent = name;
      section.querySelector("ul").replaceChildren();
      list.append(section);
    }
    section.querySelector("ul").append(event);
  }
  for (const old of sections) old.remove();
}
